// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/privacy"
)

// placesFlags are the flags for the locations of a receiver's files.
type placesFlags struct {
	receiver, directory, state string
	configs, telemetry         []string
}

func (f *placesFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringArrayVar(&f.configs, "config", nil, "configuration `file` of the collector")
	flags.StringVar(&f.receiver, "receiver", "", "`ID` of the receiver in --config, if there are several")
	flags.StringVar(&f.directory, "directory", "", "output `folder`, without --config")
	flags.StringVar(&f.state, "state-directory", "", "output::state_directory if it is set, without --config")
}

// places returns the locations of the receiver's files.
func (f *placesFlags) places(ctx context.Context) (privacy.Places, error) {
	switch {
	case len(f.configs) > 0 && f.directory != "":
		return privacy.Places{}, errors.New("use --config or --directory, not both")
	case len(f.configs) > 0:
		loaded, err := config.Load(ctx, f.receiver, f.configs...)
		if err != nil {
			return privacy.Places{}, err
		}
		if err := loaded.Validate(); err != nil {
			return privacy.Places{}, err
		}
		return privacy.PlacesOf(loaded.Config, loaded.ID, append(loaded.Telemetry, f.telemetry...)...)
	case f.directory == "":
		return privacy.Places{}, errors.New("specify where the receiver writes, with --config or --directory")
	}
	cfg := config.Default()
	cfg.Output.Directory, cfg.Output.StateDirectory = f.directory, f.state
	id := f.receiver
	if id == "" {
		id = "videoanonymizer"
	}
	return privacy.PlacesOf(cfg, id, f.telemetry...)
}
