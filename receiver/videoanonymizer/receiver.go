// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/anonymize"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/filelog"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/notify"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/pseudonym"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/resources"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/workspace"
)

// videoReceiver anonymizes the videos that appear in the watched directories. It only wires the parts together.
type videoReceiver struct {
	set   receiver.Settings
	cfg   *Config
	tools media.Tools
	next  telemetry.Consumers

	models  *anonymize.Models
	watcher *watch.Watcher               // nil with share
	engine  atomic.Pointer[share.Engine] // nil without share
	emitter *telemetry.Emitter
	recent  *telemetry.Recent // nil without console
	console *attachment       // nil without console, and with share
	hide    func()            // removes the machines from the console; nil if no console shows them
	shown   atomic.Pointer[workspace.Workspace]
	told    atomic.Pointer[notify.Notifier] // nil without notifications
	lift    func() error                    // lifts the resource limits; nil before Start

	cancel  context.CancelFunc
	workers sync.WaitGroup
}

// newReceiver finds tools and models, so that a missing one is reported at once, rather than with the first video or
// after a reload has stopped the collector's pipelines. It reports all errors, not only the first.
func newReceiver(ctx context.Context, set receiver.Settings, cfg *Config) (*videoReceiver, error) {
	set.Logger = filelog.SampleByFile(set.Logger)
	tools, err := anonymize.OpenTools(ctx, cfg)
	if err := errors.Join(err, anonymize.CheckModels(cfg), resources.Check(cfg.Resources.Limits())); err != nil {
		return nil, err
	}
	for _, warning := range cfg.Warnings() {
		set.Logger.Warn("a configuration key is set by its former name", zap.String("problem", warning))
	}
	return &videoReceiver{set: set, cfg: cfg, tools: tools}, nil
}

func (r *videoReceiver) setTraces(next consumer.Traces)   { r.next.Traces = next }
func (r *videoReceiver) setLogs(next consumer.Logs)       { r.next.Logs = next }
func (r *videoReceiver) setMetrics(next consumer.Metrics) { r.next.Metrics = next }

// Start opens the models and starts watching.
func (r *videoReceiver) Start(ctx context.Context, host component.Host) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Shutdown(context.Background()))
		}
	}()
	if r.lift, err = resources.Claim(r.cfg.Resources.Limits()); err != nil { // before anything uses the number of CPUs
		return err
	}
	names, err := r.pseudonyms()
	if err != nil {
		return err
	}
	r.set.Logger = names.Logger(r.set.Logger)
	r.logConfinement()
	console, machines, err := r.consoles(host)
	if err != nil {
		return err
	}
	health := &health{report: func(err error) { componentstatus.ReportStatus(host, statusEvent(err)) }}
	servers, err := r.servers(host, health)
	if err != nil {
		return err
	}
	if r.models, err = anonymize.OpenModels(r.cfg, servers); err != nil {
		return err
	}
	options := anonymize.WatchOptions(r.cfg, r.set.Logger)
	options.Changed = r.changed
	options.ReportStatus = health.watching
	if r.cfg.Share == nil {
		if r.watcher, err = watch.New(options); err != nil {
			return err
		}
	}
	telemetryOptions := anonymize.TelemetryOptions(r.cfg)
	telemetryOptions.QueueLength, telemetryOptions.Pseudonym = r.sharedQueueLength, names.In
	if r.watcher != nil {
		telemetryOptions.QueueLength = r.watcher.QueueLength
	}
	if console != nil {
		r.recent = telemetry.NewRecent()
		telemetryOptions.Recent = r.recent
	}
	if r.emitter, err = telemetry.NewEmitter(r.set, telemetryOptions, r.next); err != nil {
		return err
	}
	if err = r.models.Connect(ctx); err != nil {
		return err
	}
	runner := &anonymize.Runner{
		Config:  r.cfg,
		Tools:   r.tools,
		Models:  r.models,
		Painter: mask.NewPainter(r.cfg.Mask.PainterOptions()),
		Emitter: r.emitter,
		Space:   &anonymize.Space{},
		Burst:   anonymize.NewBurst(r.cfg),
		Program: report.Program{Name: r.set.BuildInfo.Command, Version: r.set.BuildInfo.Version},
		Logger:  r.set.Logger,
	}
	work, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	if r.cfg.Share != nil {
		runner.Config = r.cfg.Shared()
		return r.takePart(work, runner, options, health, machines)
	}
	return r.workAlone(work, runner, console, names)
}

// workAlone processes the videos that the watcher hands out, until work ends.
func (r *videoReceiver) workAlone(work context.Context, runner *anonymize.Runner, console consoleapi.Console,
	names *pseudonym.Names) (err error) {
	if err = r.watcher.Start(); err != nil {
		return err
	}
	if console != nil {
		if r.console, err = r.attach(console, runner, names); err != nil {
			return err
		}
	}
	keeper, err := r.keeper()
	if err != nil {
		return err
	}
	notifier, err := r.notifier(names)
	if err != nil {
		return err
	}
	schedule := r.schedule(r.watcher.Hold)
	if schedule != nil {
		schedule.Look() // before the first video
	}
	for range r.cfg.MaxConcurrentVideos {
		r.workers.Go(func() { r.work(work, runner) })
	}
	if notifier != nil {
		r.told.Store(notifier)
		r.workers.Go(func() { notifier.Run(work) })
	}
	if schedule != nil {
		r.workers.Go(func() { schedule.Run(work) })
	}
	if keeper != nil {
		r.workers.Go(func() { keeper.Loop(work) })
	}
	return nil
}

// pseudonyms returns the pseudonyms of videos, or nil if telemetry contains their names.
func (r *videoReceiver) pseudonyms() (*pseudonym.Names, error) {
	if r.cfg.Telemetry.VideoNames != config.NamesHashed {
		return nil, nil
	}
	return pseudonym.Open(r.cfg.Output.StatePath(), r.cfg.Folders()...)
}

// logConfinement logs which rights ffmpeg and ffprobe are denied.
func (r *videoReceiver) logConfinement() {
	holds, missing := r.tools.Confined()
	if missing == nil {
		r.set.Logger.Info("ffmpeg and ffprobe are confined", zap.String("denied", holds))
		return
	}
	r.set.Logger.Warn("ffmpeg and ffprobe, which read files that anyone may have made, have more rights than they need",
		zap.String("denied", holds), zap.Error(missing))
}

// work processes one video after another, for as long as the models are usable.
func (r *videoReceiver) work(ctx context.Context, runner *anonymize.Runner) {
	err := runner.Work(ctx, r.watcher, func(*watch.Job) {}, func(job *watch.Job) {
		if w := r.shown.Load(); w != nil {
			w.Worked(job.Path)
		}
	})
	if ctx.Err() == nil {
		r.set.Logger.Error("this worker processes no more videos", zap.Error(err))
	}
}

// Shutdown interrupts the videos in progress, which resume at the next start, and forwards all spans created so far.
func (r *videoReceiver) Shutdown(ctx context.Context) error {
	if r.cancel != nil {
		r.cancel()
	}
	r.workers.Wait()
	return r.release(ctx)
}

// release releases everything that Start has acquired.
func (r *videoReceiver) release(ctx context.Context) error {
	var errs []error
	if r.console != nil {
		errs = append(errs, r.console.detach(ctx))
	}
	if r.hide != nil {
		r.hide()
	}
	if r.watcher != nil {
		errs = append(errs, r.watcher.Stop(ctx))
	}
	if r.models != nil { // before the emitter, which counts requests that servers do not answer
		errs = append(errs, r.models.Close())
	}
	if r.emitter != nil {
		errs = append(errs, r.emitter.Shutdown(ctx))
	}
	if r.lift != nil {
		errs = append(errs, r.lift())
	}
	r.console, r.hide, r.watcher, r.emitter, r.models, r.lift = nil, nil, nil, nil, nil, nil
	return errors.Join(errs...)
}

// statusEvent returns the status that the receiver reports while it runs. Errors are recoverable; nil means OK.
func statusEvent(err error) *componentstatus.Event {
	if err == nil {
		return componentstatus.NewEvent(componentstatus.StatusOK)
	}
	return componentstatus.NewRecoverableErrorEvent(err)
}
