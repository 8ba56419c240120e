// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Command recall measures how many heads the built program masks. It runs the program on real footage, compares each
// output with its source pixel by pixel, checks the heads annotated by eye, and writes docs/recall.md. `make recall`
// runs it.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

func main() {
	sheet := flag.String("sheet", "", "directory for images of the heads that are not covered, cut from the outputs")
	only := flag.String("only", "",
		"measure only these variants, such as \"default,thorough\", and print the report instead of writing it")
	clips := flag.String("clips", "",
		"measure only these clips, such as \"stills.mp4,talk.mp4\", and print the report instead of writing it")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *only, *clips, *sheet)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "recall:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only, clips, sheet string) error {
	annotations, err := readAnnotations()
	if err != nil {
		return err
	}
	annotations, err = chosen(annotations, clips, "clip", func(a annotation) string { return a.Clip })
	if err != nil {
		return err
	}
	variants, err := chosen(variants, only, "variant", func(v variant) string { return v.name })
	if err != nil {
		return err
	}
	path, err := footage.Clip("source/haarcascade_frontalface_alt2.xml")
	if err != nil {
		return err
	}
	independent, err := readCascade(path)
	if err != nil {
		return err
	}
	var results []result
	for _, v := range variants {
		if reason := refused(ctx, v); reason != "" {
			fmt.Printf("recall: skipping %s: %s\n", v.name, reason)
			results = append(results, result{variant: v, skipped: reason})
			continue
		}
		fmt.Printf("recall: %s\n", v.name)
		r, err := measure(ctx, v, independent, annotations)
		if errors.Is(err, errNotStarted) && v.settings != "" {
			fmt.Printf("recall: skipping %s: %v\n", v.name, err)
			results = append(results, result{variant: v, skipped: err.Error()})
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		fmt.Println("recall:   " + r.summary())
		results = append(results, r)
		if sheet != "" {
			if err := saveSheets(sheet, r); err != nil {
				return err
			}
		}
	}
	if only != "" || clips != "" {
		return writeReport(os.Stdout, annotations, results)
	}
	return saveReport(annotations, results)
}

// chosen are those items of all that a comma-separated list names; all of them if the list is empty.
func chosen[T any](all []T, list, what string, name func(T) string) ([]T, error) {
	if list == "" {
		return all, nil
	}
	var some []T
	for wanted := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(all, func(t T) bool { return name(t) == wanted })
		if i < 0 {
			return nil, fmt.Errorf("unknown %s %q", what, wanted)
		}
		some = append(some, all[i])
	}
	return some, nil
}

// configs apply a variant to the default configuration. Masks have a color that is rare in footage, and outputs are
// lossless, so that exactly the masked pixels differ.
func configs(v variant) []string {
	return []string{
		fmt.Sprintf(`yaml:{receivers: {videoanonymizer: {
			watch: {poll_interval: 100ms, stable_for: 200ms},
			max_concurrent_videos: 2,
			output: {codec: ffv1, container: mkv},
			mask: {fill: solid, color: "#ff00ff"},
			models: {directory: %q}}}}`, filepath.Join(collector.Root(), "models")),
		"yaml:{receivers: {videoanonymizer: {" + v.settings + "}}}",
	}
}

// refused returns why the program rejects a variant's settings; empty if it accepts them.
func refused(ctx context.Context, v variant) string {
	args := []string{"validate", "--config", filepath.Join(collector.Root(), "config", "config.yaml")}
	for _, config := range configs(v) {
		args = append(args, "--config", config)
	}
	command := exec.CommandContext(ctx, filepath.Join(collector.Root(), "bin", "otelcol-anonymizer"), args...)
	command.Dir = collector.Root()
	output, err := command.CombinedOutput()
	if err == nil {
		return ""
	}
	return lastLine(output)
}

// lastLine is the last line of a program's output, which says why it ended.
func lastLine(output []byte) string {
	output = bytes.TrimSpace(output)
	return string(bytes.TrimSpace(output[bytes.LastIndexByte(output, '\n')+1:]))
}

// errNotStarted is the error of a program that does not start with a variant's settings, for instance because a model
// is missing.
var errNotStarted = errors.New("the program does not start")

// measure runs all clips through a collector with the variant's settings, and scores its outputs.
func measure(ctx context.Context, v variant, independent *cascade, annotations []annotation) (r result, err error) {
	r = result{variant: v}
	dir, err := os.MkdirTemp("", "recall")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return r, err
	}
	defer log.Close()
	options, err := collector.Options{Dir: dir, Output: log, Configs: configs(v)}.OnFreePorts()
	if err != nil {
		return r, err
	}
	c, err := collector.Start(ctx, options)
	if err != nil {
		said, _ := os.ReadFile(log.Name())
		return r, fmt.Errorf("%w: %s", errNotStarted, cmp.Or(lastLine(said), err.Error()))
	}
	outputs, err := anonymize(ctx, c, dir, annotations)
	if err = errors.Join(err, c.Stop(time.Minute)); err != nil {
		said, _ := os.ReadFile(log.Name())
		return r, fmt.Errorf("%w; the collector printed:\n%s", err, said)
	}
	r.CPU = c.CPUTime()
	return r, r.scoreAll(ctx, independent, annotations, outputs)
}

// scoreAll scores the clips concurrently.
func (r *result) scoreAll(ctx context.Context, independent *cascade, annotations []annotation, outputs []string) error {
	scored := make([]result, len(annotations))
	errs := make([]error, len(annotations))
	var group sync.WaitGroup
	for i, a := range annotations {
		group.Go(func() {
			source, err := footage.Clip(a.Clip)
			if err == nil {
				err = scored[i].score(ctx, independent, a, source, outputs[i])
			}
			errs[i] = err
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, clip := range scored {
		r.add(clip)
	}
	return nil
}

// anonymize drops the clips and waits for their outputs.
func anonymize(ctx context.Context, c *collector.Collector, dir string, annotations []annotation) ([]string, error) {
	var outputs []string
	for _, a := range annotations {
		clip, err := footage.Clip(a.Clip)
		if err != nil {
			return nil, err
		}
		source, err := collector.Drop(clip, filepath.Join(dir, "videos", "incoming"), filepath.Base(clip))
		if err != nil {
			return nil, err
		}
		output := filepath.Join(dir, collector.OutputOf(source))
		outputs = append(outputs, strings.TrimSuffix(output, filepath.Ext(output))+".mkv")
	}
	return outputs, c.Await(ctx, "the anonymized videos", 250*time.Millisecond, func() (bool, error) {
		for _, output := range outputs {
			if _, err := os.Stat(output); err != nil {
				return false, nil
			}
		}
		return true, nil
	})
}
