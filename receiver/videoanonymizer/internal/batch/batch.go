// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package batch anonymizes files and folders once, with the same code and rules as the receiver, or estimates the work.
// It sends no telemetry.
package batch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/receiver"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/anonymize"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/resources"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Options control what is anonymized.
type Options struct {
	// Config is the result of Prepare.
	Config *config.Config
	// Again also processes files that are done.
	Again bool
	// Program is the program that reports name as the maker of an output.
	Program report.Program
	Logger  *zap.Logger
	// Ended is called with each file when its outcome is known, and Working periodically with the files in progress. Both
	// are called in the goroutine that called Run.
	Ended   func(Result)
	Working func([]telemetry.Active)
}

// Prepare turns a receiver's configuration into that of a batch: it replaces the watched files with the inputs, which
// are files or folders, writes to the folder output, and leaves sources where they are.
func Prepare(cfg config.Config, inputs []string, output string) (*config.Config, error) {
	cfg.Watch.Include = nil
	for _, input := range inputs {
		// The receiver does not follow links, but a link named here stands for its target.
		real, err := filepath.EvalSymlinks(input)
		if err == nil {
			real, err = filepath.Abs(real)
		}
		if err != nil {
			return nil, err
		}
		pattern := escape(real)
		if info, err := os.Stat(real); err != nil {
			return nil, err
		} else if info.IsDir() {
			pattern += "/*"
		}
		cfg.Watch.Include = append(cfg.Watch.Include, pattern)
	}
	if output != "" {
		same, err := samePath(output, cfg.Output.Directory)
		if err != nil {
			return nil, err
		}
		if !same { // the state is that of another output folder
			cfg.Output.StateDirectory = ""
		}
		cfg.Output.Directory = output
	}
	cfg.Watch.StableFor = 0 // a named file is complete; one that is open for writing still waits
	cfg.Output.OnSuccess, cfg.Output.OnSalvage, cfg.Output.MoveTo = watch.OnSuccessKeep, config.OnSalvageKeep, ""
	cfg.Output.QuarantineDirectory = ""
	cfg.Console, cfg.Review, cfg.Retention, cfg.Notifications = nil, config.Review{}, config.Retention{}, nil
	cfg.Share = nil
	cfg.Retry = watch.Retry{
		InitialInterval: min(cfg.Retry.InitialInterval, firstRetry), MaxInterval: min(cfg.Retry.MaxInterval, lastRetry),
		MaxAttempts: min(cfg.Retry.MaxAttempts, attempts),
	}
	return &cfg, cfg.Validate()
}

// The user waits for the outcome, so temporary failures are retried for only a few seconds.
const (
	firstRetry, lastRetry = time.Second, 5 * time.Second
	attempts              = 3
)

// escape returns the pattern that matches only the path itself.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`, "{", `\{`, "}", `\}`).Replace(path)
}

func samePath(a, b string) (bool, error) {
	if b == "" {
		return false, nil
	}
	a, errA := filepath.Abs(a)
	b, errB := filepath.Abs(b)
	return a == b, errors.Join(errA, errB)
}

// list returns the files of a batch, except those in its own folders.
func list(cfg *config.Config) ([]watch.Listed, error) {
	return watch.List(cfg.Watch, cfg.Output.StatePath())
}

// Run anonymizes the files, and returns the outcome of each, in the order of their paths. It leaves files alone that
// are already done. If the context ends, Run also returns the context's error; the next Run resumes what was begun.
func Run(ctx context.Context, opts Options) (_ []Result, err error) {
	lift, err := resources.Claim(opts.Config.Resources.Limits())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lift()) }()
	files, err := list(opts.Config)
	if err != nil {
		return nil, err
	}
	b := &batch{opts: opts, begun: time.Now(), changed: make(chan struct{}, 1), open: map[string]bool{},
		busy: map[string]time.Time{}, spent: map[string]time.Duration{}}
	var only []string
	for _, f := range files {
		if f.Held != "" {
			b.end(Result{Source: f.Path, Outcome: Skipped, Reason: reasonOf(f), Error: f.Held})
			continue
		}
		b.open[f.Path] = true
		only = append(only, f.Path)
	}
	if len(only) > 0 {
		err = b.run(ctx, only)
	}
	slices.SortFunc(b.results, func(a, b Result) int { return strings.Compare(a.Source, b.Source) })
	return b.results, err
}

// batch is one run. Its fields belong to the goroutine that called Run, except those below mu.
type batch struct {
	opts    Options
	begun   time.Time
	changed chan struct{} // signals that something happened to a file
	open    map[string]bool
	results []Result

	watcher *watch.Watcher
	emitter *telemetry.Emitter

	mu    sync.Mutex
	busy  map[string]time.Time     // start times of the files that workers process
	spent map[string]time.Duration // time spent in this run
}

const interval = 200 * time.Millisecond // between two calls of Options.Working

func (b *batch) run(ctx context.Context, only []string) (err error) {
	runner, closeAll, err := b.start(ctx, only)
	if err != nil {
		return err
	}
	working, cancel := context.WithCancel(ctx)
	defer cancel()
	var workers sync.WaitGroup
	for range b.opts.Config.MaxConcurrentVideos {
		workers.Go(func() { b.work(working, runner) })
	}
	b.wait(ctx)
	cancel()
	workers.Wait() // each finishes what it is doing
	b.settle()
	b.giveUp(ctx)
	return errors.Join(ctx.Err(), closeAll())
}

// start opens what the run needs, and starts watching. closeAll closes everything.
func (b *batch) start(ctx context.Context, only []string) (_ *anonymize.Runner, closeAll func() error, err error) {
	cfg := b.opts.Config
	runner, models, err := open(ctx, b.opts)
	if err != nil {
		return nil, nil, err
	}
	set := settings(b.opts.Logger)
	if b.emitter, err = telemetry.NewEmitter(set, anonymize.TelemetryOptions(cfg), telemetry.Consumers{}); err != nil {
		return nil, nil, errors.Join(err, models.Close())
	}
	runner.Emitter = b.emitter
	options := anonymize.WatchOptions(cfg, b.opts.Logger)
	options.Only = only
	options.Changed = b.wake
	if b.watcher, err = watch.New(options); err == nil {
		err = b.watcher.Start()
	}
	background := context.WithoutCancel(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, b.emitter.Shutdown(background), models.Close())
	}
	return runner, func() error {
		return errors.Join(b.watcher.Stop(background), b.emitter.Shutdown(background), models.Close())
	}, nil
}

// open returns a runner without telemetry, and its models, which the caller must close.
func open(ctx context.Context, opts Options) (*anonymize.Runner, *anonymize.Models, error) {
	tools, err := anonymize.OpenTools(ctx, opts.Config)
	if err := errors.Join(err, anonymize.CheckModels(opts.Config)); err != nil {
		return nil, nil, err
	}
	if id := opts.Config.Inference.Remote.Auth; id != nil {
		return nil, nil, fmt.Errorf("inference::remote::auth: the extension %s runs only in a collector: leave it out, or "+
			"drop the videos into a collector's folder", id)
	}
	models, err := anonymize.OpenModels(opts.Config, anonymize.Remote{
		Changed: func(error) {}, Failed: func() {}, Logger: opts.Logger,
	})
	if err != nil {
		return nil, nil, err
	}
	if err := models.Connect(ctx); err != nil {
		return nil, nil, errors.Join(err, models.Close())
	}
	return &anonymize.Runner{
		Config: opts.Config, Tools: tools, Models: models, Painter: mask.NewPainter(opts.Config.Mask.PainterOptions()),
		Space: &anonymize.Space{}, Burst: anonymize.NewBurst(opts.Config), Program: opts.Program, Logger: opts.Logger,
	}, models, nil
}

// settings returns the settings of a receiver whose telemetry is discarded.
func settings(logger *zap.Logger) receiver.Settings {
	return receiver.Settings{
		ID: component.NewID(metadata.Type),
		TelemetrySettings: component.TelemetrySettings{
			Logger: logger, TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(),
			Resource: pcommon.NewResource(),
		},
	}
}

func (b *batch) work(ctx context.Context, runner *anonymize.Runner) {
	_ = runner.Work(ctx, b.watcher, func(job *watch.Job) { b.works(job.Path, true) },
		func(job *watch.Job) { b.works(job.Path, false) }) // returns when the watcher stops, or the context ends
}

// works records whether a worker is processing a file.
func (b *batch) works(path string, busy bool) {
	b.mu.Lock()
	if busy {
		b.busy[path] = time.Now()
	} else {
		b.spent[path] += time.Since(b.busy[path])
		delete(b.busy, path)
	}
	b.mu.Unlock()
	b.wake()
}

// wake makes wait check again.
func (b *batch) wake() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// state returns whether a worker is processing a file, and the time spent on it.
func (b *batch) state(path string) (busy bool, seconds float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, busy = b.busy[path]
	return busy, b.spent[path].Seconds()
}

// wait returns once only files that another program is writing are left, or the context ends.
func (b *batch) wait(ctx context.Context) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for !b.settle() {
		select {
		case <-ctx.Done():
			return
		case <-b.changed:
		case <-ticker.C:
			b.opts.Working(b.emitter.Active())
		}
	}
}

// settle collects outcomes, and reports whether there is nothing more to wait for.
func (b *batch) settle() bool {
	settled := true
	for path := range b.open {
		o, ended := b.watcher.Outcome(path)
		busy, seconds := b.state(path)
		switch {
		case busy: // the outcome is recorded before the worker is done
			settled = false
		case !ended:
			settled = settled && o.Held == watch.HeldByWriter
		case b.stale(o) && b.watcher.Again(path) == nil:
			settled = false
		default:
			delete(b.open, path)
			b.end(b.result(o, seconds))
		}
	}
	return settled
}

// stale reports whether an outcome of an earlier run is not final: a failure, which may succeed now, or an output that
// no longer exists.
func (b *batch) stale(o watch.Overview) bool {
	if o.Updated.After(b.begun) || o.Phase == "" {
		return false
	}
	if o.Phase == watch.PhaseFailed || b.opts.Again {
		return true
	}
	_, err := os.Lstat(o.Output.Path)
	return errors.Is(err, fs.ErrNotExist)
}

// giveUp records an outcome for the files that are left.
func (b *batch) giveUp(ctx context.Context) {
	for path := range b.open {
		o, _ := b.watcher.Outcome(path)
		_, seconds := b.state(path)
		r := Result{Source: path, Outcome: Interrupted, Seconds: seconds}
		switch {
		case o.Held == watch.HeldByWriter:
			r.Outcome, r.Reason, r.Error = Skipped, ReasonIncomplete, o.Held
		case ctx.Err() != nil:
			r.Error = "run the same command again to resume it where it was interrupted"
		}
		b.end(r)
	}
}

func (b *batch) end(r Result) {
	b.results = append(b.results, r)
	b.opts.Ended(r)
}

// result describes a file that has an outcome.
func (b *batch) result(o watch.Overview, seconds float64) Result {
	r := Result{Source: o.Path, Seconds: seconds}
	switch o.Phase {
	case watch.PhaseDone:
		r.Outcome = Done
		if !o.Updated.After(b.begun) {
			r.Outcome = AlreadyDone
		}
		r.describe(o.Output.Path)
	case watch.PhaseFailed:
		r.Outcome, r.Reason, r.Error = Failed, o.Reason, o.Error
	default:
		r.Outcome, r.Reason, r.Error = Skipped, ReasonIgnored, o.Error
	}
	return r
}

// Check returns an error if outputs cannot be written to a folder, as far as that is known before they are made.
func Check(output string) error {
	info, err := os.Stat(output)
	extension := strings.TrimPrefix(filepath.Ext(output), ".")
	switch {
	case errors.Is(err, fs.ErrNotExist) && slices.Contains(media.Containers(), extension):
		return fmt.Errorf("%s: outputs go into a folder: write, for example, %s", output, filepath.Dir(output))
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is a file: outputs go into a folder", output)
	}
	return nil
}
