// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"
	"google.golang.org/grpc/credentials"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/oip"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
)

// Remote is what models on servers need in addition to the configuration.
type Remote struct {
	// Credentials and Authenticate come from the configured authenticator, for gRPC and HTTP; nil without one.
	Credentials  credentials.PerRPCCredentials
	Authenticate func(http.RoundTripper) (http.RoundTripper, error)
	// Changed and Failed are passed on to oip.Options.
	Changed func(error)
	Failed  func()
	Logger  *zap.Logger
}

// client returns a client of the configured servers, or nil if there are none.
func (r Remote) client(cfg *config.Config) (*oip.Client, error) {
	remote := cfg.Inference.Remote
	if !remote.Enabled() {
		return nil, nil
	}
	servers, err := remote.Servers()
	if err != nil {
		return nil, fmt.Errorf("inference::remote::%w", err)
	}
	secure, err := remoteTLS(cfg)
	if err != nil {
		return nil, err
	}
	client, err := oip.New(oip.Options{
		Endpoints:    servers,
		TLS:          secure,
		Credentials:  r.Credentials,
		Authenticate: r.Authenticate,
		Timeout:      remote.Timeout,
		MaxInFlight:  remote.MaxInFlight,
		Changed:      r.Changed,
		Failed:       r.Failed,
		Logger:       r.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("inference::remote: %w", err)
	}
	return client, nil
}

// remoteTLS reads the files of inference::remote::tls.
func remoteTLS(cfg *config.Config) (*tls.Config, error) {
	secure, err := cfg.Inference.Remote.TLS.LoadTLSConfig(context.Background())
	if err != nil {
		return nil, fmt.Errorf("inference::remote::tls: %w", err)
	}
	return secure, nil
}

// Connect verifies the servers. A server with the wrong model is an error; a server that cannot be reached is not.
func (m *Models) Connect(ctx context.Context) error {
	if m.client == nil {
		return nil
	}
	if err := m.client.Start(ctx); err != nil {
		return fmt.Errorf("inference::remote: %w", err)
	}
	return nil
}

// Await waits until the models can be used. It returns the context's error.
func (m *Models) Await(ctx context.Context) error {
	if m.client == nil {
		return ctx.Err()
	}
	return m.client.Await(ctx)
}

// Available reports whether the models can be used now.
func (m *Models) Available() bool { return m.client == nil || m.client.Available() }

// Answers returns how many requests servers have answered so far.
func (m *Models) Answers() uint64 {
	if m.client == nil {
		return 0
	}
	return m.client.Answers()
}

// Verify makes sure that the servers that have answered since the given count still serve the models, and notes if
// these are not the same as before. It returns the current count of answers.
func (m *Models) Verify(ctx context.Context, since uint64) (answers uint64, err error) {
	if m.client == nil {
		return 0, nil
	}
	return m.client.Verify(ctx, since)
}

// served returns what servers serve as the model that a key names. Several variants are separated by commas.
func (v *video) served(key string) (all telemetry.Served) {
	for _, model := range v.Models.identify() {
		if model.Key != key {
			continue
		}
		var versions, answers []string
		for _, s := range model.Served {
			versions, answers = append(versions, s.Version), append(answers, s.Answer)
		}
		all.Version, all.Answer = strings.Join(slices.Compact(versions), ","), strings.Join(answers, ",")
	}
	return all
}

// servedTexts returns descriptions of what servers serve.
func (v *video) servedTexts() (texts []string) {
	for _, model := range v.Models.identify() {
		for _, s := range model.Served {
			texts = append(texts, fmt.Sprintf("%s, version %s, answer %s", model.Name, cmp.Or(s.Version, "unknown"), s.Answer))
		}
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}
