// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"errors"
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/extensionauth"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/anonymize"
)

// servers returns what models on servers need of the collector: the authenticator, and somebody to tell of outages.
func (r *videoReceiver) servers(host component.Host, health *health) (anonymize.Remote, error) {
	remote := anonymize.Remote{
		Changed: func(err error) {
			health.serving(err)
			r.emitter.ServersAvailable(err == nil)
		},
		Failed: func() { r.emitter.RequestFailed() },
		Logger: r.set.Logger,
	}
	id := r.cfg.Inference.Remote.Auth
	if id == nil {
		return remote, nil
	}
	extension := host.GetExtensions()[*id]
	if extension == nil {
		return remote, fmt.Errorf("inference::remote::auth: there is no extension %s: list it in service::extensions", id)
	}
	byGRPC, isGRPC := extension.(extensionauth.GRPCClient)
	byHTTP, isHTTP := extension.(extensionauth.HTTPClient)
	if !isGRPC || !isHTTP {
		return remote, fmt.Errorf("inference::remote::auth: %s does not authenticate clients: name an extension that does, "+
			"such as bearertokenauth", id)
	}
	remote.Authenticate = byHTTP.RoundTripper
	var err error
	if remote.Credentials, err = byGRPC.PerRPCCredentials(); err != nil {
		return remote, fmt.Errorf("inference::remote::auth: %s: %w", id, err)
	}
	return remote, nil
}

// health is what the receiver reports of itself: nothing is wrong, or one of its parts cannot work at the moment.
type health struct {
	report func(error)

	mu                       sync.Mutex
	watched, servers, shared error
}

// watching takes note of what the watcher reports.
func (h *health) watching(err error) { h.set(&h.watched, err) }

// serving takes note of what the inference servers are up to.
func (h *health) serving(err error) { h.set(&h.servers, err) }

// sharing takes note of whether the machine takes part in its share.
func (h *health) sharing(err error) { h.set(&h.shared, err) }

func (h *health) set(part *error, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*part = err
	h.report(errors.Join(h.watched, h.servers, h.shared))
}
