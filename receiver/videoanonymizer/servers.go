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

// servers returns what models on inference servers need from the collector: the authenticator and callbacks for
// outages.
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

// health is the status that the receiver reports: the errors of the parts that do not work at the moment, if any.
type health struct {
	report func(error)

	mu                       sync.Mutex
	watched, servers, shared error
}

// watching records the status of the watcher.
func (h *health) watching(err error) { h.set(&h.watched, err) }

// serving records whether the inference servers are available.
func (h *health) serving(err error) { h.set(&h.servers, err) }

// sharing records whether the machine takes part in its share.
func (h *health) sharing(err error) { h.set(&h.shared, err) }

func (h *health) set(part *error, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*part = err
	h.report(errors.Join(h.watched, h.servers, h.shared))
}
