// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package preflight rejects configurations that would fail only when components start. On a reload, a failed start is
// too late: the collector has already stopped its pipelines and exits.
//
// It is a converter, which the collector calls whenever it reads its configuration: at start, on reload, and for the
// validate command. It changes nothing.
package preflight

import (
	"context"
	"errors"

	"go.opentelemetry.io/collector/confmap"
)

// NewFactory returns the factory of the converter.
func NewFactory() confmap.ConverterFactory {
	return confmap.NewConverterFactory(func(confmap.ConverterSettings) confmap.Converter { return converter{} })
}

type converter struct{}

// Convert reports every error at once, each with its key. It leaves unexpected structures for the collector to reject.
func (converter) Convert(_ context.Context, conf *confmap.Conf) error {
	root := conf.ToStringMap()
	service := mapOf(root["service"])
	return errors.Join(checkCertificates(root, service), checkOutlets(readPipelines(service)))
}

// pipeline is a pipeline's lists of component IDs.
type pipeline struct {
	receivers, processors, exporters []string
}

func readPipelines(service map[string]any) map[string]pipeline {
	pipelines := map[string]pipeline{}
	for id, raw := range mapOf(service["pipelines"]) {
		lists := mapOf(raw)
		pipelines[id] = pipeline{
			receivers:  textsOf(lists["receivers"]),
			processors: textsOf(lists["processors"]),
			exporters:  textsOf(lists["exporters"]),
		}
	}
	return pipelines
}

// mapOf returns value as a map, or an empty map if it is anything else.
func mapOf(value any) map[string]any {
	m, _ := value.(map[string]any)
	return m
}

// textsOf returns the strings in a list, or none if value is anything else.
func textsOf(value any) (texts []string) {
	list, _ := value.([]any)
	for _, item := range list {
		if text, ok := item.(string); ok {
			texts = append(texts, text)
		}
	}
	return texts
}
