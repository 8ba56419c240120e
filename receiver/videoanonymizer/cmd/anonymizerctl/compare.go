// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/confine"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

func newCompareCommand() *cobra.Command {
	var asJSON bool
	var accept []string
	var ffmpeg, ffprobe string
	command := &cobra.Command{
		Use:   "compare SOURCE OUTPUT",
		Short: "Show what differs between a video and its anonymized output",
		Long: `Decodes a source and its anonymized output side by side, and prints what is the same and what is not.

It exits with 0 if only masks, encoding loss and what is dropped by default differ, with 1 if anything else differs, and
with 2 if the two cannot be compared.`,
		Example: "  anonymizerctl compare --accept sound,tags walk.mkv walk_anonymized.mkv",
		Args:    cobra.ExactArgs(2),
		RunE: func(command *cobra.Command, args []string) error {
			comparison, err := compare(command.Context(), ffmpeg, ffprobe, args[0], args[1])
			if err != nil {
				return err
			}
			changed := comparison.Changed(accept...)
			print := printTable
			if asJSON {
				print = printJSON
			}
			if err := print(command.OutOrStdout(), comparison, changed); err != nil {
				return err
			}
			if len(changed) > 0 {
				return errFound
			}
			return nil
		},
	}
	flags := command.Flags()
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	flags.StringSliceVar(&accept, "accept", nil,
		"`rows` that may differ or be kept, separated by commas, such as sound,tags")
	flags.StringVar(&ffmpeg, "ffmpeg", "", "`path` of ffmpeg (default: the one on PATH)")
	flags.StringVar(&ffprobe, "ffprobe", "", "`path` of ffprobe (default: the one on PATH)")
	return command
}

func compare(ctx context.Context, ffmpeg, ffprobe, source, output string) (media.Comparison, error) {
	tools, err := media.FindTools(ffmpeg, ffprobe)
	if err == nil {
		tools, err = tools.Confine(ctx, confine.Auto, nil)
	}
	if err != nil {
		return media.Comparison{}, err
	}
	for _, path := range []*string{&source, &output} {
		// The receiver does not follow links. A user who names one here means the file that it points to.
		if *path, err = filepath.EvalSymlinks(*path); err != nil {
			return media.Comparison{}, err
		}
	}
	return tools.Compare(ctx, source, output)
}

func printJSON(w io.Writer, c media.Comparison, changed []media.Row) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Unchanged bool `json:"unchanged"`
		media.Comparison
	}{len(changed) == 0, c})
}

func printTable(w io.Writer, c media.Comparison, changed []media.Row) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "what\tsource\toutput\tverdict")
	for _, r := range c.Rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.What, r.Source, r.Output, r.Verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(changed) == 0 {
		_, err := fmt.Fprintln(w, "\nNothing changed except masks, encoding loss, and what is dropped by default.")
		return err
	}
	var what []string
	for _, r := range changed {
		what = append(what, r.What)
	}
	_, err := fmt.Fprintln(w, "\nMore than masks changed:", strings.Join(what, ", "))
	return err
}
