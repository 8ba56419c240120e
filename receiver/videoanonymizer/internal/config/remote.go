// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configtls"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/oip"
)

// Remote selects which models run on servers of the Open Inference Protocol v2, and where those servers are.
type Remote struct {
	// Endpoint is the server, such as grpcs://triton:8001 or https://triton:8000. Plaintext (grpc:// and http://) is
	// allowed for this machine only: requests show people unmasked.
	Endpoint string `mapstructure:"endpoint"`
	// Endpoints are several servers with the same models, instead of Endpoint.
	Endpoints []string `mapstructure:"endpoints"`
	// TLS is the TLS configuration of the client, with ca_file, cert_file, key_file and the collector's other keys.
	TLS configtls.ClientConfig `mapstructure:"tls"`
	// Auth is the ID of an authenticator extension. Nil authenticates with TLS only.
	Auth *component.ID `mapstructure:"auth"`
	// Models are the models that run on the servers, written as elsewhere in the configuration; empty means all.
	Models []string `mapstructure:"models"`
	// Timeout bounds each request.
	Timeout time.Duration `mapstructure:"timeout"`
	// MaxInFlight bounds the requests in flight at once.
	MaxInFlight int `mapstructure:"max_in_flight"`
	// TraceRatio is the fraction 0..1 of frames whose traces continue in the servers.
	TraceRatio float64 `mapstructure:"trace_ratio"`

	_ struct{}
}

func defaultRemote() Remote {
	return Remote{Timeout: 5 * time.Second, MaxInFlight: 32, TraceRatio: 1}
}

// Enabled reports whether any models run on servers.
func (c *Remote) Enabled() bool { return c.Endpoint != "" || len(c.Endpoints) > 0 }

// Serves reports whether a model, as named in the configuration, runs on the servers.
func (c *Remote) Serves(model string) bool {
	return c.Enabled() && (len(c.Models) == 0 || slices.Contains(c.Models, model))
}

// ServedName returns the name of a model on the servers: that of the catalog, or that of the file without its
// extension.
func ServedName(model string) string {
	if IsModelPath(model) {
		return strings.TrimSuffix(filepath.Base(model), ".onnx")
	}
	return model
}

// Servers returns the endpoints of the servers.
func (c *Remote) Servers() ([]oip.Endpoint, error) {
	texts, key := c.Endpoints, "endpoints"
	if c.Endpoint != "" {
		texts, key = []string{c.Endpoint}, "endpoint"
	}
	servers := make([]oip.Endpoint, len(texts))
	var errs []error
	for i, text := range texts {
		var err error
		if servers[i], err = oip.ParseEndpoint(text); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	return servers, errors.Join(errs...)
}

func (c *Remote) validate() []error {
	errs := []error{
		inRange("timeout", c.Timeout, 10*time.Millisecond, time.Hour, "the maximum time to wait for an answer, such as 5s"),
		inRange("max_in_flight", c.MaxInFlight, 1, 4096, "requests in flight at once"),
		inRange("trace_ratio", c.TraceRatio, 0, 1, "the share of frames whose traces continue in the servers"),
	}
	if !c.Enabled() {
		if len(c.Models) > 0 || c.Auth != nil || !reflect.ValueOf(c.TLS).IsZero() {
			errs = append(errs, errors.New("endpoint: is empty, but other keys are set: "+
				"name a server such as grpcs://triton:8001, or remove them"))
		}
		return errs
	}
	if c.Endpoint != "" && len(c.Endpoints) > 0 {
		errs = append(errs, errors.New("endpoints: endpoint is set as well: remove one of them"))
	}
	servers, err := c.Servers()
	if err != nil {
		return append(errs, err)
	}
	for i, server := range servers {
		if slices.Contains(servers[:i], server) {
			errs = append(errs, fmt.Errorf("endpoints: %s is listed twice: remove one", server))
		}
		errs = append(errs, c.validateServer(server))
	}
	if c.TLS.Insecure {
		errs = append(errs, errors.New("tls::insecure: the endpoint says whether there is TLS: remove it, "+
			"and write grpc:// or http:// for a server on this machine"))
	}
	return errs
}

// validateServer refuses servers that would expose unmasked people, or a secret, to others on the network.
func (c *Remote) validateServer(server oip.Endpoint) error {
	secure := strings.NewReplacer("grpc://", "grpcs://", "http://", "https://").Replace(server.String())
	switch {
	case !server.TLS && !server.Loopback():
		return fmt.Errorf("endpoint: %s would send unmasked people in plaintext: write %s", server, secure)
	case !server.TLS && c.Auth != nil:
		return fmt.Errorf("auth: %s would send its secret in plaintext: write %s", server, secure)
	case server.TLS && !server.Loopback() && c.TLS.InsecureSkipVerify:
		return fmt.Errorf("tls::insecure_skip_verify: anyone could answer for %s, and see unmasked people: "+
			"remove it, and name the server's authority in tls::ca_file", server)
	}
	return nil
}

// validateRemoteModels refuses models that no other key names, in the receiver's own configuration or in a profile.
func (c *Config) validateRemoteModels() (errs []error) {
	if c.profile != "" {
		return nil // the receiver's own configuration is validated with all profiles
	}
	var used []string
	for _, own := range append(c.Profiled(), c) {
		for _, cfg := range []*Config{own, own.AsThorough(), own.AsSecondLook()} {
			d := cfg.Detector
			used = slices.Concat(used, []string{d.Model, d.Faces, d.Survey.Faces, cfg.Pose.Model, cfg.Segmentation.Model},
				d.Also, d.Survey.Models)
		}
	}
	served := map[string]string{}
	for _, model := range used {
		if !c.Inference.Remote.Serves(model) {
			continue
		}
		name := ServedName(model)
		if other, taken := served[name]; taken && other != model {
			errs = append(errs, fmt.Errorf("inference::remote::models: %s and %s have the same name on a server: rename "+
				"one file", other, model))
		}
		served[name] = model
	}
	for _, model := range c.Inference.Remote.Models {
		if !slices.Contains(used, model) {
			errs = append(errs, fmt.Errorf("inference::remote::models: %q is not a model that another key names: "+
				"write it as it is there, or remove it", model))
		}
	}
	return errs
}
