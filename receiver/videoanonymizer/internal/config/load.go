// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
)

// Loaded is what was read from a collector's configuration.
type Loaded struct {
	// Config is the configuration of the receiver. It is not validated.
	*Config
	// ID is the ID of the receiver.
	ID string
	// Telemetry are globs for the files that the collector's file exporters write.
	Telemetry []string
}

// Load reads the configuration of a receiver from that of a collector, as the collector does: locations are files, or
// URIs such as yaml:..., of which later ones override earlier ones, and ${env:NAME} is replaced. id is the receiver's,
// such as videoanonymizer/ward. With "", there must be only one receiver.
func Load(ctx context.Context, id string, locations ...string) (loaded Loaded, err error) {
	resolver, err := confmap.NewResolver(confmap.ResolverSettings{
		URIs: locations,
		ProviderFactories: []confmap.ProviderFactory{
			fileprovider.NewFactory(), envprovider.NewFactory(), yamlprovider.NewFactory(),
		},
		DefaultScheme: "env",
	})
	if err != nil {
		return loaded, err
	}
	defer func() { err = errors.Join(err, resolver.Shutdown(context.WithoutCancel(ctx))) }()
	conf, err := resolver.Resolve(ctx)
	if err != nil {
		return loaded, Blame(locations, err)
	}
	receivers, err := conf.Sub("receivers")
	if err != nil {
		return loaded, err
	}
	if id, err = choose(id, receivers.ToStringMap()); err != nil {
		return loaded, err
	}
	section, err := receivers.Sub(id)
	if err != nil {
		return loaded, err
	}
	loaded = Loaded{Config: Default(), ID: id, Telemetry: filesOf(conf)}
	if err := section.Unmarshal(loaded.Config); err != nil {
		return loaded, fmt.Errorf("receivers::%s: %w", id, Explain(err))
	}
	return loaded, nil
}

// Blame adds the file that caused an error of reading a configuration, if it can be determined.
func Blame(locations []string, err error) error {
	for _, location := range locations {
		text, readErr := os.ReadFile(strings.TrimPrefix(location, "file:"))
		if readErr != nil {
			continue
		}
		retrieved, parseErr := confmap.NewRetrievedFromYAML(text)
		if parseErr == nil {
			_, parseErr = retrieved.AsConf()
		}
		if parseErr != nil {
			return fmt.Errorf("%s: %w", location, parseErr)
		}
	}
	return err
}

// filesOf returns globs for the files that file exporters write, and for those that they have rotated.
func filesOf(conf *confmap.Conf) (globs []string) {
	exporters, ok := conf.Get("exporters").(map[string]any)
	if !ok {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(exporters)) {
		options, _ := exporters[id].(map[string]any)
		path, _ := options["path"].(string)
		if kind, _, _ := strings.Cut(id, "/"); kind != "file" || path == "" {
			continue
		}
		extension := filepath.Ext(path)
		globs = append(globs, escape(path), escape(strings.TrimSuffix(path, extension))+"-*"+escape(extension))
	}
	return globs
}

// escape returns the pattern that matches only the path itself.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`, "{", `\{`, "}", `\}`).Replace(path)
}

// choose returns the ID of the receiver to use.
func choose(id string, receivers map[string]any) (string, error) {
	var ours []string
	for _, key := range slices.Sorted(maps.Keys(receivers)) {
		var there component.ID
		if there.UnmarshalText([]byte(key)) == nil && there.Type() == metadata.Type {
			ours = append(ours, key)
		}
	}
	switch {
	case len(ours) == 0:
		return "", fmt.Errorf("receivers: there is no %s: add receivers::%s", metadata.Type, metadata.Type)
	case id == "" && len(ours) > 1:
		return "", fmt.Errorf("receivers: there are several: choose one of %s", strings.Join(ours, ", "))
	case id == "":
		return ours[0], nil
	case !slices.Contains(ours, id):
		return "", fmt.Errorf("receivers: there is no %s: choose one of %s", id, strings.Join(ours, ", "))
	}
	return id, nil
}
