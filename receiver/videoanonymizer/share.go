// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/anonymize"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// takePart works on what several machines share, until work ends.
func (r *videoReceiver) takePart(work context.Context, runner *anonymize.Runner, options watch.Options) error {
	cfg := *r.cfg.Share
	finder, err := watch.NewFinder(options)
	if err != nil {
		return err
	}
	if cfg.Root, err = filepath.EvalSymlinks(cfg.Root); err != nil {
		return fmt.Errorf("share::root: %w", err)
	}
	shared := anonymize.NewShared(runner, finder, cfg.Root)
	made, err := shared.Made()
	if err != nil {
		return fmt.Errorf("share: %w", err)
	}
	engine, err := share.New(cfg, share.Options{
		Made: made, Worker: shared, Source: shared, Slots: shared.AtOnce(runtime.GOMAXPROCS(0)),
		ScanInterval: r.cfg.Watch.PollInterval, Attempts: r.cfg.Retry.MaxAttempts, Reason: anonymize.Reason,
		Logger: r.set.Logger,
	})
	if err != nil {
		return fmt.Errorf("share: %w", err)
	}
	r.workers.Go(func() {
		if err := engine.Run(work); err != nil {
			r.set.Logger.Error("this machine takes no part in the share any more", zap.Error(err))
		}
	})
	r.engine.Store(engine)
	return r.emitter.ObserveShare(func() telemetry.ShareStats { return shareStats(engine.Stats()) })
}

func shareStats(stats share.Stats) telemetry.ShareStats {
	s := telemetry.ShareStats{
		Takeovers: stats.Takeovers, FencedCommits: stats.Fenced, UnitsRedone: stats.Redone, BrokerAvailable: !stats.Away,
	}
	if stats.Coordinator {
		s.Units = map[metadata.AttributeShareUnitState]int{
			metadata.AttributeShareUnitStateOpen:    stats.Units[share.UnitOpen],
			metadata.AttributeShareUnitStateClaimed: stats.Units[share.UnitClaimed],
			metadata.AttributeShareUnitStateDone:    stats.Units[share.UnitDone],
			metadata.AttributeShareUnitStateFailed:  stats.Units[share.UnitFailed],
		}
	}
	return s
}

// sharedQueueLength is the number of videos of a share that wait: the coordinator alone has them.
func (r *videoReceiver) sharedQueueLength() int {
	engine := r.engine.Load()
	if engine == nil {
		return 0
	}
	stats := engine.Stats()
	if !stats.Coordinator {
		return 0
	}
	return stats.Videos[share.VideoFound]
}
