// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/batch"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// runFlags are the flags of the run command.
type runFlags struct {
	output, receiver, models      string
	configs                       []string
	recursive, again, dry, asJSON bool
}

func newRunCommand() *cobra.Command {
	var flags runFlags
	command := &cobra.Command{
		Use:   "run IN... -o OUT",
		Short: "Anonymize files and folders once",
		Long: `Anonymizes videos and pictures, and those in folders, into the folder OUT, as the collector does: an output
gets its name only when it is complete, along with its report and contact sheet, and nothing is replaced. If a run is
interrupted, the same command resumes it. Sources are never touched. A finished video is left alone as long as its
output exists.

It exits with 0 if every video is done, with 1 if some are not, and with 2 if none are.`,
		Example: `  anonymizerctl run footage -o anonymized
  anonymizerctl run walk.mp4 -o anonymized --config config.yaml --dry-run`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return runBatch(command.Context(), flags, args, command.OutOrStdout(), command.ErrOrStderr())
		},
	}
	f := command.Flags()
	f.StringVarP(&flags.output, "output", "o", "", "`folder` for the outputs (default: output::directory of --config)")
	f.StringArrayVar(&flags.configs, "config", nil,
		"configuration `file` of a collector, whose videoanonymizer settings apply")
	f.StringVar(&flags.receiver, "receiver", "", "`ID` of the receiver in --config, if there are several")
	f.StringVar(&flags.models, "models", "", "`folder` of the models (default: models::directory)")
	f.BoolVarP(&flags.recursive, "recursive", "r", false, "include subfolders")
	f.BoolVar(&flags.again, "again", false, "also anonymize finished videos; their outputs are kept")
	f.BoolVar(&flags.dry, "dry-run", false, "only say what would be done, and how long it would take")
	f.BoolVar(&flags.asJSON, "json", false, "print a line of JSON for each file, and one summary line")
	return command
}

func runBatch(ctx context.Context, flags runFlags, inputs []string, stdout, stderr io.Writer) error {
	cfg, err := flags.config(ctx, inputs)
	if err != nil {
		return err
	}
	screen := newScreen(stdout, stderr)
	out := &runOutput{screen: screen, json: flags.asJSON, dry: flags.dry, start: time.Now()}
	opts := batch.Options{
		Config: cfg, Again: flags.again, Program: program(), Logger: screen.logger(), Ended: out.file,
		Working: func(active []work) { screen.progress(active, len(out.results), out.start) },
	}
	if flags.dry {
		results, estimate, err := batch.Plan(ctx, opts)
		if err != nil {
			return err
		}
		for _, r := range results {
			out.file(r)
		}
		out.estimate = &estimate
	} else if _, err = batch.Run(ctx, opts); err != nil && !errors.Is(err, context.Canceled) {
		screen.clear()
		return err
	}
	screen.clear()
	return out.end()
}

// config returns the configuration of the run.
func (f *runFlags) config(ctx context.Context, inputs []string) (*config.Config, error) {
	cfg := config.Default()
	if len(f.configs) > 0 {
		loaded, err := config.Load(ctx, f.receiver, f.configs...)
		if err != nil {
			return nil, err
		}
		cfg = loaded.Config
	}
	if f.output == "" && cfg.Output.Directory == "" {
		return nil, errors.New("specify the folder for the outputs with -o")
	}
	if err := batch.Check(f.output); f.output != "" && err != nil {
		return nil, err
	}
	cfg.Watch.Recursive = cfg.Watch.Recursive || f.recursive
	if f.models != "" {
		cfg.Models.Directory = f.models
	}
	return batch.Prepare(*cfg, inputs, f.output)
}

// program returns the program that reports name as the producer of an output.
func program() report.Program {
	p := report.Program{Name: "anonymizerctl"}
	if info, ok := debug.ReadBuildInfo(); ok {
		p.Version = info.Main.Version
	}
	return p
}

// runSchema identifies the format of the JSON lines, see run.schema.json.
const runSchema = "otelcol-anonymizer/run/v1"

// runOutput prints the result of each file and a summary.
type runOutput struct {
	screen    *screen
	json, dry bool
	start     time.Time
	results   []batch.Result
	estimate  *batch.Estimate // of a dry run
}

// runSummary summarizes the results of all files.
type runSummary struct {
	// Files is the number of files by outcome.
	Files map[batch.Outcome]int `json:"files"`
	// Seconds is how long the run took, or would take.
	Seconds float64 `json:"seconds,omitempty"`
	// SampledVideos and SampledFrames are the numbers of videos and frames that an estimate is based on.
	SampledVideos int `json:"sampled_videos,omitempty"`
	SampledFrames int `json:"sampled_frames,omitempty"`
}

func (o *runOutput) file(r batch.Result) {
	o.results = append(o.results, r)
	if o.json {
		o.line(map[string]any{"schema": runSchema, "file": r})
		return
	}
	o.screen.println(o.describe(r))
}

func (o *runOutput) line(v any) {
	text, err := json.Marshal(v)
	if err != nil {
		text = []byte(fmt.Sprintf("%q", err.Error())) // cannot happen with plain values
	}
	o.screen.println(string(text))
}

// outcomes describes the outcomes to people.
var outcomes = map[batch.Outcome]string{
	batch.Done: "done", batch.AlreadyDone: "done before", batch.Failed: "failed", batch.Skipped: "skipped",
	batch.Interrupted: "interrupted", batch.Planned: "to do",
}

func (o *runOutput) describe(r batch.Result) string {
	text := outcomes[r.Outcome] + ": " + r.Source
	switch {
	case r.Video != nil:
		v := r.Video
		length := ", " + human(v.Duration)
		if watch.IsPicture(r.Source) {
			length = ""
		}
		text += fmt.Sprintf(" (%s, %d x %d%s)", v.Codec, v.Width, v.Height, length)
	case r.Output != "":
		text += " -> " + r.Output
	case r.Error != "":
		text += ": " + strings.TrimPrefix(r.Error, strconv.Quote(r.Source)+": ") // the prefix of most errors
	}
	if r.Outcome == batch.Done && r.Report != "" {
		text += fmt.Sprintf(" (%d frames, %d masks, up to %d people, %s)", r.Frames, r.Masks, r.PeopleMax, human(r.Seconds))
	}
	if r.NobodyFound {
		text += "\n  nobody was found in it: make sure that nobody is there before you share it"
	}
	return text
}

// end prints the summary, and returns the error that determines the exit status.
func (o *runOutput) end() error {
	s := runSummary{Files: map[batch.Outcome]int{}, Seconds: time.Since(o.start).Seconds()}
	done, missing := 0, 0
	for _, r := range o.results {
		s.Files[r.Outcome]++
		switch {
		case r.Missing():
			missing++
		case r.Outcome != batch.Skipped:
			done++
		}
	}
	if o.estimate != nil {
		s.Seconds, s.SampledVideos, s.SampledFrames = o.estimate.Seconds, o.estimate.Samples, o.estimate.Frames
	}
	if o.json {
		o.line(map[string]any{"schema": runSchema, "summary": s})
	} else {
		o.screen.println(s.String(o.estimate != nil))
	}
	switch {
	case done == 0 && missing == 0:
		return errors.New("there is no video to anonymize: specify files, or folders with files")
	case done == 0 && !o.dry:
		return errors.New("no video was anonymized")
	case done == 0:
		return errors.New("no video would be anonymized")
	case missing > 0:
		return errFound
	}
	return nil
}

func (s runSummary) String(estimated bool) string {
	var parts []string
	for _, outcome := range []batch.Outcome{batch.Planned, batch.Done, batch.AlreadyDone, batch.Failed, batch.Interrupted,
		batch.Skipped} {
		if n := s.Files[outcome]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, outcomes[outcome]))
		}
	}
	text := strings.Join(parts, ", ")
	switch {
	case !estimated:
		text += ", in " + human(s.Seconds)
	case s.SampledVideos > 0:
		text += fmt.Sprintf("; about %s, judging by %d frames of %d of them", human(s.Seconds), s.SampledFrames,
			s.SampledVideos)
	}
	return text
}

// human formats a number of seconds without insignificant digits.
func human(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d <= 0:
		return "unknown time"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", seconds)
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", seconds)
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.1f h", d.Hours())
}
