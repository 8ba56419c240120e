// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Compare prints what is the same in an anonymized video as in its source, and what is not:
//
//	otelcol-anonymizer-compare [-json] [-accept sound,tags] [-ffmpeg path] [-ffprobe path] source output
//
// It exits with 0 where nothing differs but masks, the encoder's loss and what is dropped by default, with 1 where something else
// does, and with 2 where the two cannot be compared.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

const (
	exitChanged = 1
	exitError   = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("otelcol-anonymizer-compare", flag.ContinueOnError)
	flags.SetOutput(stderr)
	asJSON := flags.Bool("json", false, "print JSON")
	accept := flags.String("accept", "", "rows that may differ or be kept, separated by commas, such as sound,tags")
	ffmpeg := flags.String("ffmpeg", "", "path of ffmpeg")
	ffprobe := flags.String("ffprobe", "", "path of ffprobe")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: otelcol-anonymizer-compare [flags] SOURCE OUTPUT")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil || flags.NArg() != 2 {
		if err == nil {
			flags.Usage()
		}
		return exitError
	}
	c, err := compare(ctx, *ffmpeg, *ffprobe, flags.Arg(0), flags.Arg(1))
	if err != nil {
		fmt.Fprintln(stderr, "otelcol-anonymizer-compare:", err)
		return exitError
	}
	changed := c.Changed(strings.Split(*accept, ",")...)
	if *asJSON {
		err = printJSON(stdout, c, len(changed) == 0)
	} else {
		err = printTable(stdout, c, changed)
	}
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "otelcol-anonymizer-compare:", err)
		return exitError
	case len(changed) > 0:
		return exitChanged
	}
	return 0
}

func compare(ctx context.Context, ffmpeg, ffprobe string, paths ...string) (media.Comparison, error) {
	tools, err := media.FindTools(ffmpeg, ffprobe)
	if err != nil {
		return media.Comparison{}, err
	}
	for i, path := range paths {
		// The receiver follows no links; whoever names one here means it.
		if paths[i], err = filepath.EvalSymlinks(path); err != nil {
			return media.Comparison{}, err
		}
	}
	return tools.Compare(ctx, paths[0], paths[1])
}

func printJSON(w io.Writer, c media.Comparison, unchanged bool) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Unchanged bool `json:"unchanged"`
		media.Comparison
	}{unchanged, c})
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
		_, err := fmt.Fprintln(w, "\nNothing else changed: masks, the encoder's loss, and what is dropped by default.")
		return err
	}
	var what []string
	for _, r := range changed {
		what = append(what, r.What)
	}
	_, err := fmt.Fprintln(w, "\nMore than masks changed:", strings.Join(what, ", "))
	return err
}
