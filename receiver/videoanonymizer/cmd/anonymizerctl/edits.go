// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/confine"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/edits"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/render"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

func newEditsCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "edits",
		Short: "Work with mask corrections",
	}
	command.AddCommand(newApplyCommand())
	return command
}

// contactTiles is the maximum number of tiles on a contact sheet.
const contactTiles = 12

func newApplyCommand() *cobra.Command {
	var source, ffmpeg, ffprobe string
	command := &cobra.Command{
		Use:   "apply OUTPUT EDITS",
		Short: "Render the corrections of an anonymized video",
		Long: `Renders the corrections in the file EDITS into the next revision of an anonymized video, such as
walk_anonymized.r2.mp4, as the console does: with its report, contact sheet and edits, and without replacing anything.
OUTPUT is the anonymized video without .rN in its name, and its report must be next to it. No models are needed.

Without the source, masks are painted on the latest revision, so nothing can be uncovered.`,
		Example: "  anonymizerctl edits apply walk_anonymized.mp4 walk_anonymized.mp4.edits.json --source walk.mp4",
		Args:    cobra.ExactArgs(2),
		RunE: func(command *cobra.Command, args []string) error {
			result, err := apply(command.Context(), ffmpeg, ffprobe, source, args[0], args[1])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(command.OutOrStdout(), "%s: %d of %d frames encoded again from the %s\n", result.Path,
				result.Encoded, result.Frames, result.From)
			return err
		},
	}
	flags := command.Flags()
	flags.StringVar(&source, "source", "", "`path` of the video that OUTPUT was made from")
	flags.StringVar(&ffmpeg, "ffmpeg", "", "`path` of ffmpeg (default: the one on PATH)")
	flags.StringVar(&ffprobe, "ffprobe", "", "`path` of ffprobe (default: the one on PATH)")
	return command
}

func apply(ctx context.Context, ffmpeg, ffprobe, source, output, corrections string) (render.Result, error) {
	tools, err := media.FindTools(ffmpeg, ffprobe)
	if err == nil {
		tools, err = tools.Confine(ctx, confine.Auto, nil)
	}
	if err != nil {
		return render.Result{}, err
	}
	text, err := os.ReadFile(corrections)
	if err != nil {
		return render.Result{}, err
	}
	document, err := edits.Parse(text)
	if err != nil {
		return render.Result{}, fmt.Errorf("%s: %w", corrections, err)
	}
	if output, err = filepath.EvalSymlinks(output); err != nil {
		return render.Result{}, err
	}
	if source != "" {
		if source, err = filepath.EvalSymlinks(source); err != nil {
			return render.Result{}, err
		}
	}
	return render.Run(ctx, render.Options{
		Tools: tools, Limits: media.DefaultLimits(), Output: output, Source: source, Edits: document,
		Program: report.Program{Name: "anonymizerctl"}, Mode: modeOf(output), Tiles: contactTiles,
	})
}

// modeOf returns the permissions of a file, for files written next to it.
func modeOf(path string) fs.FileMode {
	info, err := os.Stat(path)
	if err != nil {
		return 0o600
	}
	return info.Mode().Perm()
}
