// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// checkOutlets reports attrtometrics processors whose connector, which forwards their metrics, does not follow them in
// a pipeline. The collector would start and stop the two in any order, so that the processor might not start or might
// lose its last metrics. The processor itself reports an error if there is no such connector at all.
func checkOutlets(pipelines map[string]pipeline) error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(pipelines)) {
		for _, processor := range pipelines[id].processors {
			componentType, _, _ := strings.Cut(processor, "/")
			if componentType == "attrtometrics" && exists(pipelines, processor) && !reaches(pipelines, id, processor, nil) {
				errs = append(errs, fmt.Errorf("service::pipelines::%s::exporters: "+
					"processor %q needs the connector %q here: add it", id, processor, processor))
			}
		}
	}
	return errors.Join(errs...)
}

// exists reports whether a connector is in use.
func exists(pipelines map[string]pipeline, connector string) bool {
	for _, p := range pipelines {
		if slices.Contains(p.exporters, connector) {
			return true
		}
	}
	return false
}

// reaches reports whether data of a pipeline reaches a connector, directly or through other connectors.
func reaches(pipelines map[string]pipeline, id, connector string, visited []string) bool {
	if slices.Contains(pipelines[id].exporters, connector) {
		return true
	}
	visited = append(visited, id)
	for next, p := range pipelines {
		connected := slices.ContainsFunc(p.receivers, func(receiver string) bool {
			return slices.Contains(pipelines[id].exporters, receiver)
		})
		if connected && !slices.Contains(visited, next) && reaches(pipelines, next, connector, visited) {
			return true
		}
	}
	return false
}
