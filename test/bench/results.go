// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// results are the latest measurements of each section, which may come from different runs. They are committed with the
// page.
type results struct {
	Clip, Long         *clipResult
	People, Resolution *series
	Length, Hour       *series
	Several            *severalResult
	Spans              *spansResult
	Peer               *peerResult
}

// clipResult has several measurements of one clip.
type clipResult struct {
	conditions
	Rounds []round
}

// round is a measurement of the pipeline and, right after it, of the ideal.
type round struct {
	Pipeline pass
	Ideal    ideal
}

func resultsPath() string { return filepath.Join(collector.Root(), "test", "bench", "results.json") }

func loadResults() (r results, err error) {
	data, err := os.ReadFile(resultsPath())
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}

func (r results) save() error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(resultsPath(), append(data, '\n'), 0o644)
}
