// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package privacy

import (
	"path/filepath"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
)

// Places are the locations of a receiver's files, as absolute paths without symbolic links, empty for none.
type Places struct {
	// Receiver is the ID of the receiver.
	Receiver string
	// Outputs is output::directory, State is output::state_directory, Approved is review::approved_directory, and
	// Quarantine is output::quarantine_directory.
	Outputs, State, Approved, Quarantine string
	// Telemetry are glob patterns of files written by the file exporter.
	Telemetry []string
	// Folders are the folders that keep their names when videos have pseudonyms.
	Folders []string
}

// PlacesOf returns the places of a receiver with the given configuration and ID.
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
