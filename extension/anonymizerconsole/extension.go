// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymizerconsole

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/extension"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/anonymizerconsole/internal/api"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/anonymizerconsole/internal/guard"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/anonymizerconsole/internal/session"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/anonymizerconsole/ui"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
)

//go:embed openapi.yaml
var openAPI []byte

// console is the extension.
type console struct {
	set    extension.Settings
	config *Config

	api    *api.API
	server *http.Server
	served chan struct{} // closed when the server has stopped
}

var (
	_ extension.Extension = (*console)(nil)
	_ consoleapi.Console  = (*console)(nil)

	_ consoleapi.GPUConsole   = (*console)(nil)
	_ consoleapi.ShareConsole = (*console)(nil)
)

// Start serves the console.
func (c *console) Start(ctx context.Context, host component.Host) (err error) {
	sessions, token, err := session.New(session.Options{
		Directory: c.config.Directory, Lifetime: c.config.SessionLifetime, Authenticated: c.config.Auth.HasValue(),
		Attribute: c.config.Identity.Attribute, Role: c.config.Identity.Role, Roles: c.config.Identity.Roles,
		Logger: c.set.Logger,
	})
	if err != nil {
		return err
	}
	c.api = api.New(api.Options{
		Sessions: sessions, Upload: c.config.Upload, MaxUpload: c.config.MaxUploadSize << 20,
		Version: c.set.BuildInfo.Version, Started: time.Now(), OpenAPI: openAPI, Logger: c.set.Logger,
		Links: api.Links{Jaeger: c.config.Links.Jaeger, Grafana: c.config.Links.Grafana},
	})
	defer func() {
		if err != nil {
			c.api.Close()
		}
	}()
	handler, err := c.handler()
	if err != nil {
		return err
	}
	listener, err := c.config.ToListener(ctx)
	if err != nil {
		return fmt.Errorf("endpoint: %w", err)
	}
	c.config.MaxRequestBodySize = c.config.MaxUploadSize << 20 // the API limits all other bodies
	if c.server, err = c.config.ToServer(ctx, host.GetExtensions(), c.set.TelemetrySettings, handler); err != nil {
		return errors.Join(err, listener.Close())
	}
	c.served = make(chan struct{})
	go func() {
		defer close(c.served)
		if err := c.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(err))
		}
	}()
	c.set.Logger.Info("the console is at " + c.address(listener.Addr(), token))
	return nil
}

// handler serves the page and the API.
func (c *console) handler() (http.Handler, error) {
	page, err := ui.Handler()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", c.api.Handler())
	mux.Handle("/", page)
	hosts := slices.Clone(c.config.Hosts)
	if host, _, err := net.SplitHostPort(c.config.NetAddr.Endpoint); err == nil {
		if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
			hosts = append(hosts, host)
		}
	}
	return guard.Wrap(mux, guard.Options{Hosts: hosts, Refuse: api.Refuse})
}

// address returns the URL of the console, with the token in the fragment, which browsers do not send.
func (c *console) address(bound net.Addr, token string) string {
	scheme := "http"
	if c.config.TLS.HasValue() {
		scheme = "https"
	}
	host, _, _ := net.SplitHostPort(c.config.NetAddr.Endpoint)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	_, port, _ := net.SplitHostPort(bound.String())
	address := scheme + "://" + net.JoinHostPort(host, port) + "/"
	if token != "" {
		address += "#token=" + token
	}
	return address
}

// Attach shows a receiver's work.
func (c *console) Attach(id component.ID, workspace consoleapi.Workspace) (func(context.Context) error, error) {
	if c.api == nil {
		return nil, errors.New("the console has not started: list it in service::extensions")
	}
	return c.api.Registry.Attach(id, workspace)
}

// AttachGPUs shows GPUs.
func (c *console) AttachGPUs(id component.ID, read func() []consoleapi.GPU) func() {
	if c.api == nil {
		return func() {}
	}
	return c.api.Registry.AttachGPUs(id, read)
}

// AttachMachines shows the machines that share the work.
func (c *console) AttachMachines(id component.ID, read func() consoleapi.Share) func() {
	if c.api == nil {
		return func() {}
	}
	return c.api.Registry.AttachMachines(id, read)
}

// shutdownWait is how long requests may continue after Shutdown is called; streams do not end by themselves.
const shutdownWait = time.Second

// Shutdown stops the server and the requests in progress.
func (c *console) Shutdown(ctx context.Context) error {
	if c.server == nil {
		return nil
	}
	graceful, cancel := context.WithTimeout(ctx, shutdownWait)
	defer cancel()
	err := c.server.Shutdown(graceful)
	if err != nil {
		err = c.server.Close()
	}
	<-c.served
	c.api.Close()
	return err
}
