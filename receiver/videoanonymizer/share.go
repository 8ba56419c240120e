// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/anonymize"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// takePart works on what several machines share, until work ends.
func (r *videoReceiver) takePart(work context.Context, runner *anonymize.Runner, options watch.Options,
	console consoleapi.ShareConsole) error {
	report := options.ReportStatus
	cfg := *r.cfg.Share
	finder, err := watch.NewFinder(options)
	if err != nil {
		return err
	}
	if cfg.Root, err = filepath.EvalSymlinks(cfg.Root); err != nil {
		return fmt.Errorf("share::root: %w", err)
	}
	if err := onOneDisk(cfg.Root, options.OutputDirectory); err != nil {
		return err
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
	schedule := r.schedule(func(why string, suspend bool) { engine.Hold(why != "", suspend) })
	if schedule != nil {
		schedule.Look() // before the first video
		r.workers.Go(func() { schedule.Run(work) })
	}
	r.workers.Go(func() {
		if err := engine.Run(work); err != nil {
			r.set.Logger.Error("this machine takes no part in the share any more", zap.Error(err))
		}
	})
	r.workers.Go(func() { reportAway(work, engine, report) })
	r.engine.Store(engine)
	if console != nil {
		r.hide = console.AttachMachines(r.set.ID, func() consoleapi.Share { return shownShare(engine) })
	}
	return r.emitter.ObserveShare(func() telemetry.ShareStats { return shareStats(engine.Stats()) })
}

var errAway = errors.New("the NATS servers of the share do not answer, or share::root cannot be used: nothing is " +
	"committed until they do")

// reportAway reports when a machine can take no part in the share, and when it can again, until work ends.
func reportAway(work context.Context, engine *share.Engine, report func(error)) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for away := false; ; {
		select {
		case <-work.Done():
			return
		case <-ticker.C:
		}
		now := engine.Away()
		switch {
		case now && !away:
			report(errAway)
		case !now && away:
			report(nil)
		}
		away = now
	}
}

// onOneDisk makes sure that what is finished below the root can get its final name by a link.
func onOneDisk(root, outputs string) error {
	var first, second unix.Stat_t
	if err := errors.Join(unix.Stat(root, &first), unix.Stat(outputs, &second)); err != nil {
		return fmt.Errorf("share::root: %w", err)
	}
	if first.Dev != second.Dev {
		return fmt.Errorf("output::directory: %s is on another file system than share::root, %s: write a folder on the same",
			outputs, root)
	}
	return nil
}

// shownShare is what a console shows of a share.
func shownShare(engine *share.Engine) consoleapi.Share {
	shown := consoleapi.Share{Machines: []consoleapi.Machine{}, Videos: map[string]int{}}
	for state, n := range engine.Stats().Videos {
		shown.Videos[string(state)] = n
	}
	for _, m := range engine.Machines() {
		one := consoleapi.Machine{
			Name: m.Name, State: string(m.State()), Since: m.Since, Silent: m.Silent, Problem: m.Problem,
			Doing: []consoleapi.MachineTask{},
		}
		for _, t := range m.Doing {
			one.Doing = append(one.Doing, consoleapi.MachineTask(t))
		}
		shown.Machines = append(shown.Machines, one)
	}
	return shown
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
