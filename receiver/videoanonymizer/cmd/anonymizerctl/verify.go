// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
)

func newVerifyCommand() *cobra.Command {
	var where placesFlags
	command := &cobra.Command{
		Use:   "verify [DIR]",
		Short: "Verify the record of reviews and the videos that were approved",
		Long: `Verifies the console's record of reviews, and the videos in the output directory that were approved or
rejected. The directory is DIR or that of --config. Every entry of the audit must be as it was written, every
video and report that was decided on must have the hash in the audit, and every approval must belong to an entry. It
exits with 1 if any of this is not so.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) == 1 {
				where.directory = args[0]
			}
			places, err := where.places(command.Context())
			if err != nil {
				return err
			}
			result, err := audit.VerifyDirectory(command.Context(), filepath.Join(places.State, audit.DirectoryName),
				places.Outputs, true)
			if err != nil {
				return err
			}
			return printResult(command.OutOrStdout(), result)
		},
	}
	where.add(command)
	return command
}

func printResult(to io.Writer, r *audit.Result) error {
	fmt.Fprintf(to, "%d entries are as they were written\n", r.Entries)
	if r.Bad != nil {
		fmt.Fprintf(to, "BAD: the first bad entry is %d: %s\n", r.Bad.Line, r.Bad.Problem)
	}
	fmt.Fprintf(to, "%d files were compared with the decisions\n", r.Files)
	for _, c := range r.Changed {
		fmt.Fprintf(to, "BAD: %s: %s\n", c.Name, c.Problem)
	}
	if !r.OK() {
		return errFound
	}
	return nil
}
