// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
)

// root is a complete collector configuration.
type root struct{ *confmap.Conf }

// read resolves a configuration as the collector does, but without the HTTP provider.
func read(ctx context.Context, uris []string) (root, error) {
	resolver, err := confmap.NewResolver(confmap.ResolverSettings{
		URIs:          uris,
		DefaultScheme: "env",
		ProviderFactories: []confmap.ProviderFactory{
			envprovider.NewFactory(), fileprovider.NewFactory(), yamlprovider.NewFactory(),
		},
	})
	if err != nil {
		return root{}, err
	}
	conf, err := resolver.Resolve(ctx)
	if err != nil {
		err = config.Blame(uris, err)
	}
	return root{conf}, errors.Join(err, resolver.Shutdown(ctx))
}

// used lists the components of a kind (receivers, exporters, extensions) that the service starts, sorted by ID.
func (r root) used(kind string) []component.ID {
	service, _ := r.Get("service").(map[string]any)
	lists := []any{service[kind]}
	pipelines, _ := service["pipelines"].(map[string]any)
	for _, pipeline := range pipelines {
		block, _ := pipeline.(map[string]any)
		lists = append(lists, block[kind])
	}
	var ids []component.ID
	for _, list := range lists {
		names, _ := list.([]any)
		for _, name := range names {
			var id component.ID
			if text, ok := name.(string); ok && id.UnmarshalText([]byte(text)) == nil && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	slices.SortFunc(ids, func(a, b component.ID) int { return strings.Compare(a.String(), b.String()) })
	return ids
}

// block returns the settings of a component, which are empty if it has none.
func (r root) block(kind string, id component.ID) (*confmap.Conf, error) {
	return r.Sub(kind + confmap.KeyDelimiter + id.String())
}

// listener is an address that the collector listens on, and its configuration key.
type listener struct{ key, address string }

// listenKeys are the keys of listen addresses, by component type and kind. Addresses that a component connects to, such
// as an exporter's, have other keys or types. A component that does not set the key listens at standard, or nowhere if
// standard is empty.
var listenKeys = map[string][]struct{ kind, path, standard string }{
	"otlp": {
		{"receivers", "protocols::grpc::endpoint", "localhost:4317"},
		{"receivers", "protocols::http::endpoint", "localhost:4318"},
	},
	"prometheus":         {{"exporters", "endpoint", ""}},
	"health_check":       {{"extensions", "endpoint", "localhost:13133"}},
	"zpages":             {{"extensions", "endpoint", "localhost:55679"}},
	"pprof":              {{"extensions", "endpoint", "localhost:1777"}},
	"anonymizer_console": {{"extensions", "endpoint", "localhost:8090"}},
}

// listeners lists the addresses that the collector will listen on.
func (r root) listeners() []listener {
	var found []listener
	for _, kind := range []string{"extensions", "receivers", "exporters"} {
		for _, id := range r.used(kind) {
			block, err := r.block(kind, id)
			if err != nil {
				continue
			}
			for _, listens := range listenKeys[id.Type().String()] {
				parent, _, _ := strings.Cut(listens.path, "::endpoint")
				if listens.kind != kind || parent != "endpoint" && !block.IsSet(parent) {
					continue
				}
				address, _ := block.Get(listens.path).(string)
				if address == "" {
					address = listens.standard
				}
				if address != "" {
					found = append(found, listener{fmt.Sprintf("%s::%s::%s", kind, id, listens.path), address})
				}
			}
		}
	}
	return append(found, r.telemetryListeners()...)
}

// telemetryListeners lists the addresses that serve the collector's own metrics.
func (r root) telemetryListeners() []listener {
	const key = "service::telemetry::metrics::readers"
	var found []listener
	readers, _ := r.Get(key).([]any)
	for _, reader := range readers {
		conf, ok := reader.(map[string]any)
		if !ok {
			continue
		}
		prometheus := confmap.NewFromStringMap(conf)
		host, _ := prometheus.Get("pull::exporter::prometheus::host").(string)
		if port := prometheus.Get("pull::exporter::prometheus::port"); port != nil {
			found = append(found, listener{key, net.JoinHostPort(host, fmt.Sprint(port))})
		}
	}
	return found
}
