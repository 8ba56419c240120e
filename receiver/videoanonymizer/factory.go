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

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
)

// NewFactory returns the factory of the videoanonymizer receiver.
func NewFactory() receiver.Factory {
	f := &factory{shared: map[*Config]*sharedReceiver{}}
	return receiver.NewFactory(metadata.Type, createDefaultConfig,
		receiver.WithTraces(f.createTraces, metadata.TracesStability),
		receiver.WithLogs(f.createLogs, metadata.LogsStability),
		receiver.WithMetrics(f.createMetrics, metadata.MetricsStability))
}

// factory gives all signals of a receiver ID the same receiver, so that a video is anonymized only once, however many
// pipelines consume its telemetry. The collector creates one Config per ID and passes it to every create function.
type factory struct {
	mu     sync.Mutex
	shared map[*Config]*sharedReceiver
}

func (f *factory) createTraces(ctx context.Context, set receiver.Settings, cfg component.Config,
	next consumer.Traces) (receiver.Traces, error) {
	return f.create(ctx, set, cfg, func(r *videoReceiver) { r.setTraces(next) })
}

func (f *factory) createLogs(ctx context.Context, set receiver.Settings, cfg component.Config,
	next consumer.Logs) (receiver.Logs, error) {
	return f.create(ctx, set, cfg, func(r *videoReceiver) { r.setLogs(next) })
}

func (f *factory) createMetrics(ctx context.Context, set receiver.Settings, cfg component.Config,
	next consumer.Metrics) (receiver.Metrics, error) {
	return f.create(ctx, set, cfg, func(r *videoReceiver) { r.setMetrics(next) })
}

// create rejects a receiver that could not start: the collector's validate command creates every component, but starts
// none.
func (f *factory) create(ctx context.Context, set receiver.Settings, cfg component.Config,
	use func(*videoReceiver)) (*sharedReceiver, error) {
	config, ok := cfg.(*Config)
	if !ok {
		return nil, errors.New("the configuration is not that of videoanonymizer")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	shared := f.shared[config]
	if shared == nil {
		created, err := newReceiver(ctx, set, config)
		if err = errors.Join(f.checkState(config), err); err != nil {
			return nil, err
		}
		shared = &sharedReceiver{videoReceiver: created, forget: func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			delete(f.shared, config)
		}}
		f.shared[config] = shared
	}
	use(shared.videoReceiver)
	return shared, nil
}

// checkState rejects a state directory that another receiver of this collector uses. Conflicts with other collectors
// are detected at the start.
func (f *factory) checkState(config *Config) error {
	key := "directory"
	if config.Output.StateDirectory != "" {
		key = "state_directory"
	}
	for other, shared := range f.shared {
		if other.Output.StatePath() == config.Output.StatePath() {
			return fmt.Errorf("output::%s: receiver %s already keeps its state in %s: "+
				"write a directory that no other receiver uses", key, shared.set.ID, config.Output.StatePath())
		}
	}
	return nil
}

// sharedReceiver starts and stops only once, although the collector starts and stops it for each signal.
type sharedReceiver struct {
	*videoReceiver
	start, stop       sync.Once
	startErr, stopErr error
	forget            func()
}

// Start starts the receiver. For the second and third signal, it returns the result of the first call.
func (s *sharedReceiver) Start(ctx context.Context, host component.Host) error {
	s.start.Do(func() { s.startErr = s.videoReceiver.Start(ctx, host) })
	return s.startErr
}

// Shutdown stops the receiver. For the second and third signal, it returns the result of the first call.
func (s *sharedReceiver) Shutdown(ctx context.Context) error {
	s.stop.Do(func() {
		s.forget()
		s.stopErr = s.videoReceiver.Shutdown(ctx)
	})
	return s.stopErr
}
