// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/user"
	"slices"

	"github.com/spf13/cobra"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/privacy"
)

func newEraseCommand() *cobra.Command {
	var where placesFlags
	var yes, asJSON bool
	command := &cobra.Command{
		Use:   "erase NAME|SHA256",
		Short: "Erase everything that is known about one video",
		Long: `Erases everything that a receiver has about one video: outputs with revisions, reports, contact sheets,
previews, approvals and corrections, leftovers of an interrupted attempt, reviews and copies in the console, its lines
in telemetry files, what the audit says about it, and its entries in the journal. It never touches the source. Identify
the video by the name or path of its source or output, or by the SHA-256 of one of them. Without --yes it only says what
would be erased.

No collector may use the folders in the meantime: stop it first. It resumes a video in progress when it starts again.
Run this command as the collector's user.

It exits with 1 if something remains, and with 2 if nothing is known of the video.`,
		Example: `  systemctl stop otelcol-anonymizer
  sudo -u otelcol-anonymizer sh -c 'cd /var/lib/otelcol-anonymizer &&
    anonymizerctl erase walk.mp4 --config /etc/otelcol-anonymizer/config.yaml --yes'
  systemctl start otelcol-anonymizer`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			places, err := where.places(command.Context())
			if err != nil {
				return err
			}
			erasure, err := privacy.Erase(command.Context(), places, args[0], whoami(), !yes)
			if err != nil {
				return err
			}
			print := printErasure
			if asJSON {
				print = printErasureJSON
			}
			if err := print(command.OutOrStdout(), erasure, yes); err != nil {
				return err
			}
			if len(erasure.Remaining) > 0 {
				return errFound
			}
			return nil
		},
	}
	where.add(command)
	flags := command.Flags()
	flags.StringArrayVar(&where.telemetry, "telemetry", nil,
		"`glob` of additional files of the file exporter; those in --config are included anyway")
	flags.BoolVar(&yes, "yes", false, "erase it")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

// whoami returns the name of the user who runs the program, for the audit log.
func whoami() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprint(os.Getuid())
}

func printErasureJSON(w io.Writer, e *privacy.Erasure, erased bool) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Erased bool `json:"erased"`
		*privacy.Erasure
		Unreachable []string `json:"unreachable"`
	}{erased, e, privacy.Unreachable})
}

func printErasure(w io.Writer, e *privacy.Erasure, erased bool) error {
	verb := "would be erased"
	if erased {
		verb = "erased"
	}
	for _, path := range e.Files {
		fmt.Fprintf(w, "%s: %s\n", verb, path)
	}
	for _, path := range slices.Sorted(maps.Keys(e.Telemetry)) {
		fmt.Fprintf(w, "%s: %d spans, log records and data points in %s\n", verb, e.Telemetry[path], path)
	}
	if e.Audit > 0 {
		fmt.Fprintf(w, "%s: what %d audit entries say about it; who did what and when stays\n", verb, e.Audit)
	}
	if e.Journal > 0 {
		fmt.Fprintf(w, "%s: what the journal says about it\n", verb)
	}
	for _, text := range e.Remaining {
		fmt.Fprintf(w, "REMAINS: %s\n", text)
	}
	fmt.Fprintln(w, "\nOut of reach, if you use them:")
	var errs []error
	for _, text := range privacy.Unreachable {
		_, err := fmt.Fprintf(w, "- %s\n", text)
		errs = append(errs, err)
	}
	if !erased {
		_, err := fmt.Fprintln(w, "\nNothing was erased: add --yes.")
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
