// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Command recall measures how many heads the built program masks, and how much else. It runs the program on real
// footage, compares each output with its source pixel by pixel, checks the heads annotated by eye, and writes
// docs/recall.md. `make recall` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// options are the flags.
type options struct {
	only, clips, categories, half, sheet string
}

func main() {
	var o options
	flag.StringVar(&o.only, "only", "",
		"measure only these variants, such as \"default,thorough\", and print tables instead of writing the report")
	flag.StringVar(&o.clips, "clips", "",
		"measure only these clips, such as \"stills.mp4,talk.mp4\", and print tables instead of writing the report")
	flag.StringVar(&o.categories, "category", "",
		"measure only the clips of these categories, and print tables instead of writing the report")
	flag.StringVar(&o.half, "half", tuned, "the heads that the printed tables cover: tuned, \"held out\" or all")
	flag.StringVar(&o.sheet, "sheet", "",
		"directory for images of uncovered heads, cut from the outputs; measures everything again")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "recall:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	annotations, variants, err := o.chosen()
	if err != nil {
		return err
	}
	m, err := newMeter(ctx, o.sheet != "")
	if err != nil {
		return err
	}
	var results []result
	for _, v := range variants {
		fmt.Printf("recall: %s\n", v.name)
		r, err := m.measure(ctx, v, annotations)
		if err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		results = append(results, r)
		if r.skipped != "" {
			fmt.Printf("recall:   skipped: %s\n", r.skipped)
			continue
		}
		if err := printTable(os.Stdout, r, o.half); err != nil {
			return err
		}
		if o.sheet != "" {
			if err := saveSheets(o.sheet, r, o.half); err != nil {
				return err
			}
		}
	}
	if len(results) == 1 && results[0].skipped == "" {
		return report.ExecuteTemplate(os.Stdout, "weak", results[0].weakPoints(o.half))
	}
	if o.only != "" || o.clips != "" || o.categories != "" {
		return nil
	}
	return saveReport(annotations, results)
}

// chosen returns the annotations and variants that the flags select.
func (o options) chosen() ([]annotation, []variant, error) {
	annotations, err := readAnnotations()
	if err != nil {
		return nil, nil, err
	}
	byClip, errClip := chosen(annotations, o.clips, "clip", func(a annotation) string { return a.Clip })
	byCategory, errCategory := chosen(byClip, o.categories, "category",
		func(a annotation) string { return a.Category })
	chosenVariants, errVariant := chosen(variants, o.only, "variant", func(v variant) string { return v.name })
	var errHalf error
	if !slices.Contains([]string{tuned, heldOut, both}, o.half) {
		errHalf = fmt.Errorf("unknown half %q: it is %s, %s or %s", o.half, tuned, heldOut, both)
	}
	return byCategory, chosenVariants, errors.Join(errClip, errCategory, errVariant, errHalf)
}

// chosen returns the items that a comma-separated list names; all of them if the list is empty.
func chosen[T any](all []T, list, what string, name func(T) string) ([]T, error) {
	if list == "" {
		return all, nil
	}
	var some []T
	for wanted := range strings.SplitSeq(list, ",") {
		named := filtered(all, func(t T) bool { return name(t) == wanted })
		if len(named) == 0 {
			return nil, fmt.Errorf("unknown %s %q", what, wanted)
		}
		some = append(some, named...)
	}
	return some, nil
}
