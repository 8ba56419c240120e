// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package privacy

import (
	"path/filepath"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
)

// Places are where a receiver writes, as absolute paths without symbolic links; empty for none.
type Places struct {
	// Receiver is its ID.
	Receiver string
	// Outputs and State are output::directory and output::state_directory, Approved is review::approved_directory,
	// Quarantine is output::quarantine_directory.
	Outputs, State, Approved, Quarantine string
	// Telemetry are globs of files of the file exporter.
	Telemetry []string
	// Folders are those that keep their names where videos have pseudonyms.
	Folders []string
}

// PlacesOf returns the places of a receiver.
func PlacesOf(cfg *config.Config, id string, telemetry ...string) (p Places, err error) {
	p = Places{Receiver: id, Telemetry: telemetry, Folders: cfg.Folders()}
	for _, place := range []struct {
		to   *string
		path string
	}{
		{&p.Outputs, cfg.Output.Directory}, {&p.State, cfg.Output.StatePath()},
		{&p.Approved, cfg.Review.ApprovedDirectory}, {&p.Quarantine, cfg.Output.QuarantineDirectory},
	} {
		if place.path == "" {
			continue
		}
		if *place.to, err = filepath.Abs(place.path); err != nil {
			return p, err
		}
		if real, err := filepath.EvalSymlinks(*place.to); err == nil {
			*place.to = real
		}
	}
	return p, nil
}
