// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// videoReceiver anonymizes the videos that appear in the watched folders.
type videoReceiver struct {
	set     receiver.Settings
	cfg     *Config
	traces  consumer.Traces
	logs    consumer.Logs
	metrics consumer.Metrics

	tools   media.Tools
	models  *loadedModels
	painter *mask.Painter
	watcher *watch.Watcher
	emitter *telemetry.Emitter
	ledger  ledger

	cancel  context.CancelFunc
	workers sync.WaitGroup
}

func newReceiver(set receiver.Settings, cfg *Config) (*videoReceiver, error) {
	return &videoReceiver{set: set, cfg: cfg}, nil
}

func (r *videoReceiver) setTraces(next consumer.Traces)   { r.traces = next }
func (r *videoReceiver) setLogs(next consumer.Logs)       { r.logs = next }
func (r *videoReceiver) setMetrics(next consumer.Metrics) { r.metrics = next }

// Start opens the models and tools, so that what is missing shows at once and not with the first video, and begins to watch.
func (r *videoReceiver) Start(ctx context.Context, _ component.Host) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, r.release(context.Background()))
		}
	}()
	if r.tools, err = media.FindTools(r.cfg.Tools.FFmpeg, r.cfg.Tools.FFprobe); err != nil {
		return err
	}
	if err = errors.Join(r.tools.CheckDecoder(ctx, readOptions(r.cfg)), r.tools.CheckEncoder(ctx, encoding(r.cfg))); err != nil {
		return err
	}
	if r.models, err = openModels(r.cfg); err != nil {
		return err
	}
	if r.painter, err = newPainter(r.cfg.Mask); err != nil {
		return err
	}
	if r.watcher, err = watch.New(watchOptions(r.cfg, r.set.Logger)); err != nil {
		return err
	}
	if r.emitter, err = telemetry.NewEmitter(r.set, telemetryOptions(r.cfg, r.watcher), telemetry.Consumers{
		Traces: r.traces, Logs: r.logs, Metrics: r.metrics,
	}); err != nil {
		return err
	}
	if err = r.watcher.Start(); err != nil {
		return err
	}
	work, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	for range r.cfg.MaxConcurrentVideos {
		r.workers.Go(func() { r.work(work) })
	}
	return nil
}

// work takes one video after the other.
func (r *videoReceiver) work(ctx context.Context) {
	for {
		job, err := r.watcher.Next(ctx)
		if err != nil {
			if ctx.Err() == nil {
				r.set.Logger.Error("no further video is taken by this worker", zap.Error(err))
			}
			return
		}
		v := &video{receiver: r, job: job}
		v.anonymize(ctx)
	}
}

// Shutdown ends the video under way, which is taken again at the next start, and hands on every span that was made.
func (r *videoReceiver) Shutdown(ctx context.Context) error {
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	r.workers.Wait()
	return r.release(ctx)
}

// release ends what Start began, as far as it came.
func (r *videoReceiver) release(ctx context.Context) error {
	var errs []error
	if r.watcher != nil {
		errs = append(errs, r.watcher.Stop(ctx))
	}
	if r.emitter != nil {
		errs = append(errs, r.emitter.Shutdown(ctx))
	}
	if r.models != nil {
		errs = append(errs, r.models.close())
	}
	r.watcher, r.emitter, r.models = nil, nil, nil
	return errors.Join(errs...)
}

func newPainter(cfg MaskConfig) (*mask.Painter, error) {
	color, err := cfg.RGB()
	if err != nil {
		return nil, fmt.Errorf("mask::%w", err)
	}
	return mask.NewPainter(mask.Options{
		Shape: mask.Shape(cfg.Shape),
		Fill:  mask.Fill(cfg.Fill),
		Color: color,
		Scale: cfg.Scale,

		MaxSize: cfg.MaxSize,
		Regions: cfg.regions(),
	})
}

func watchOptions(cfg *Config, logger *zap.Logger) watch.Options {
	return watch.Options{
		Config:          cfg.Watch,
		OutputDirectory: cfg.Output.Directory,
		StateDirectory:  cfg.Output.StateDirectory,
		OutputName:      cfg.Output.fileName,
		Companions:      cfg.Report.beside,
		OnSuccess:       watch.OnSuccess(cfg.Output.OnSuccess),
		MoveTo:          cfg.Output.MoveTo,

		QuarantineDirectory: cfg.Output.QuarantineDirectory,
		Retry:               cfg.Retry,
		Logger:              logger,
	}
}

func telemetryOptions(cfg *Config, watcher *watch.Watcher) telemetry.Options {
	return telemetry.Options{
		ServiceName:        cfg.Telemetry.ServiceName,
		ResourceAttributes: cfg.Telemetry.ResourceAttributes,
		SpanAttributes:     cfg.Telemetry.SpanAttributes,
		BatchSize:          cfg.Telemetry.BatchSize,
		BatchInterval:      cfg.Telemetry.BatchInterval,
		MaxWait:            cfg.Telemetry.MaxWait,
		MetricsInterval:    cfg.Telemetry.MetricsInterval,
		Metrics:            cfg.Metrics,
		QueueLength:        watcher.QueueLength,
	}
}
