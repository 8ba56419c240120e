// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package doctor checks whether this machine has what a collector configuration needs: programs, models, a GPU, folders
// and their permissions, disk space, the prerequisites for sharing work, and ports. It changes nothing.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/collector/component"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/anonymize"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/resources"
)

// Finding is the result of one check.
type Finding struct {
	// What names the thing that was checked.
	What string
	// Note describes what was found, or says why its absence does not matter.
	Note string
	// Missing says what the configuration needs but this machine lacks, and what to do; nil if nothing is missing.
	Missing error
}

// Configuration checks what the configuration at uris needs: the values of the collector's --config flag.
func Configuration(ctx context.Context, uris []string) []Finding {
	root, err := read(ctx, uris)
	if err != nil {
		return []Finding{{What: "configuration", Missing: err}}
	}
	findings := []Finding{{What: "configuration", Note: strings.Join(uris, ", ")}}
	receivers, err := root.receivers()
	if err != nil {
		findings[0].Missing = err
		return findings
	}
	for _, r := range receivers {
		about := ""
		if len(receivers) > 1 {
			about = r.id.String() + ": "
		}
		for _, f := range Receiver(ctx, r.config) {
			f.What = about + f.What
			findings = append(findings, f)
		}
	}
	return append(findings, ports(ctx, root.listeners())...)
}

// Receiver checks what one receiver needs.
func Receiver(ctx context.Context, cfg *config.Config) []Finding {
	findings := programs(ctx, cfg)
	findings = append(findings, gpus(cfg, "/")...)
	findings = append(findings, bounds(cfg)...)
	findings = append(findings, folders(cfg)...)
	return append(findings, shared(cfg)...)
}

// bounds checks whether the configured resource limits can be applied.
func bounds(cfg *config.Config) []Finding {
	limits := cfg.Resources.Limits()
	if limits == (resources.Limits{}) {
		return nil
	}
	f := Finding{What: "resources", Missing: resources.Check(limits)}
	if available := resources.Available(); limits.CPUs >= available {
		f.Note = fmt.Sprintf("no more than %d CPUs are allowed anyway", available)
	} else if limits.CPUs > 0 {
		f.Note = fmt.Sprintf("CPUs: %d of %d", limits.CPUs, available)
	} else {
		f.Note = "can be limited"
	}
	return []Finding{f}
}

// Defaults checks what every configuration needs unless it says otherwise.
func Defaults(ctx context.Context) []Finding {
	cfg := config.Default()
	return append(programs(ctx, cfg), gpus(cfg, "/")...)
}

// programs checks ffmpeg, ONNX Runtime and the models.
func programs(ctx context.Context, cfg *config.Config) []Finding {
	var findings []Finding
	for _, need := range anonymize.Needs(ctx, cfg) {
		f := Finding{What: need.Name, Note: need.Note}
		if need.Err != nil {
			f.Missing = fmt.Errorf("%s: %w", need.Key, need.Err)
		}
		findings = append(findings, f)
	}
	return findings
}

// receiverConfig is a videoanonymizer receiver in the configuration.
type receiverConfig struct {
	id     component.ID
	config *config.Config
}

// receivers returns the videoanonymizer receivers that a pipeline uses: the collector starts no others.
func (r root) receivers() ([]receiverConfig, error) {
	var found []receiverConfig
	var errs []error
	for _, id := range r.used("receivers") {
		if id.Type() != metadata.Type {
			continue
		}
		cfg := config.Default()
		block, err := r.block("receivers", id)
		if err == nil {
			if err = block.Unmarshal(cfg); err != nil {
				err = config.Explain(err)
			}
		}
		if err == nil {
			err = cfg.Validate()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("receivers::%s: %w", id, err))
		}
		found = append(found, receiverConfig{id, cfg})
	}
	if len(found) == 0 {
		errs = append(errs, fmt.Errorf("no pipeline has a receiver %s: add it to service::pipelines", metadata.Type))
	}
	return found, errors.Join(errs...)
}
