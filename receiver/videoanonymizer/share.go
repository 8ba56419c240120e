// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/anonymize"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// takePart processes the videos that several machines share, until work ends.
func (r *videoReceiver) takePart(work context.Context, runner *anonymize.Runner, options watch.Options,
	health *health, console consoleapi.ShareConsole) error {
	cfg := *r.cfg.Share
	finder, err := watch.NewFinder(options)
	if errors.As(err, new(*fs.PathError)) {
		return fmt.Errorf("share::root: see that the shared folder is mounted at %s, and that the collector's user may "+
			"write to it: %w", cfg.Root, err)
	}
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
	r.workers.Go(func() { _ = engine.Run(work) }) // Run retries on errors
	r.workers.Go(func() { watchShare(work, engine, health) })
	r.engine.Store(engine)
	if console != nil {
		r.hide = console.AttachMachines(r.set.ID, func() consoleapi.Share { return shownShare(engine) })
	}
	return r.emitter.ObserveShare(func() telemetry.ShareStats { return shareStats(engine.Stats()) })
}

// healthInterval is how often a machine of a share checks whether it takes part.
const healthInterval = 2 * time.Second

// watchShare reports whether the machine takes part, until work ends.
func watchShare(work context.Context, engine *share.Engine, health *health) {
	tick := time.NewTicker(healthInterval)
	defer tick.Stop()
	told := fmt.Sprint(error(nil))
	for {
		select {
		case <-work.Done():
			return
		case <-tick.C:
		}
		err := engine.Trouble()
		if text := fmt.Sprint(err); text != told {
			told = text
			health.sharing(err)
		}
	}
}

// onOneDisk checks that files finished below the root can be hard-linked to their final names.
func onOneDisk(root, outputs string) error {
	var first, second unix.Stat_t
	if err := errors.Join(unix.Stat(root, &first), unix.Stat(outputs, &second)); err != nil {
		return fmt.Errorf("share::root: %w", err)
	}
	if first.Dev != second.Dev {
		return fmt.Errorf("output::directory: %s is on a different file system than share::root, %s: write a folder on the "+
			"same one", outputs, root)
	}
	if err := tryLink(root, outputs); err != nil {
		return fmt.Errorf("share::root: nothing can get its final name in %s: use a file system with hard links, and the "+
			"same mount for both: %w", outputs, err)
	}
	return nil
}

func tryLink(root, outputs string) error {
	f, err := os.CreateTemp(root, ".anonymizing-share-probe-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	name := filepath.Join(outputs, filepath.Base(f.Name())+"-link")
	if err := errors.Join(f.Close(), os.Link(f.Name(), name)); err != nil {
		return err
	}
	return os.Remove(name)
}

// shownShare returns the state of a share as a console shows it.
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

// sharedQueueLength returns the number of waiting videos of a share, 0 on all machines but the coordinator.
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
