// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package watch finds the videos that are ready, hands each to one worker, and records what happened to it.
//
// A file is ready when it is a regular file that has not changed for a while, is not open for writing (completeness
// says how that is determined), and is neither done, nor failed permanently, nor one of our outputs. Its name must not
// be hidden, marked as incomplete, or that of a file that cameras put next to videos (ignore.go; a pattern that names
// the extension takes precedence). If a file is not ready after two minutes, the log says why (wait.go). Polling the
// folders is authoritative, since network file systems send no events; inotify triggers polls sooner, and reports which
// files have been closed.
//
// A journal remembers what happened to each file, see journal.go. A file stays done as long as its content is the same,
// by path, size, times, inode and, if those differ, a digest:
//
//   - untouched, restored from a backup, chmod, another mount: done;
//   - renamed or moved within the watched folders: done, as long as nothing exists under the old name;
//   - touched: done while its output is where it was put; without the output, a request to process the video again;
//   - other content: a new video, whose output may supersede an earlier one, see superseded.go;
//   - the same content under two names: two videos.
//
// A file that failed permanently is tried again after any change, even of its permissions or its name.
//
// A source is moved or deleted only once it has stayed the same for a while after its outcome, see disposal. If it
// changes before that, it stays, and is processed again.
//
// From a file to its outcome: scanner (scan.go) -> queue (queue.go) -> claim (claim.go), which reserves a name
// (names.go) -> Job (job.go) -> disposal of the source (disposal.go). At a start, recovery (recover.go) resolves what
// the last run left open.
package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// ErrStopped is returned once the watcher has stopped.
var ErrStopped = errors.New("the watcher is stopped")

// Watcher hands out the files that are ready, each to one caller.
//
// Lock order: the watcher's mu, then the queue's, then one of those of names, activeJobs and the journal (which has
// two, see there). During I/O, only the journal's locks are held and, in Start, mu.
type Watcher struct {
	opts         Options
	logger       *zap.Logger
	scanner      *scanner
	folders      *folderMonitor
	completeness completeness
	queue        *queue
	active       *activeJobs
	names        *names   // set by Start, like the next three
	journal      *journal // what is known about each file, across restarts
	disposal     *disposal
	guard        *guard

	held   atomic.Pointer[string] // why no file is claimed for now, see Hold
	wake   chan struct{}          // makes the next poll come sooner
	cancel context.CancelFunc
	loops  sync.WaitGroup
	// Used only by polls:
	found []found       // in the current scan; reused
	took  time.Duration // by the last poll, to scan

	mu               sync.Mutex
	running, stopped bool
}

// New checks the options and returns a watcher, without touching any file.
func New(opts Options) (*Watcher, error) {
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	if opts.OnSuccess == "" {
		opts.OnSuccess = OnSuccessKeep
	}
	opts.FileMode = cmp.Or(opts.FileMode, durable.Private)
	if opts.Retry == (Retry{}) {
		opts.Retry = DefaultRetry
	}
	scanner, err := newScanner(opts.Config)
	if err != nil {
		return nil, err
	}
	if opts.Only != nil {
		scanner.only = map[string]bool{}
		for _, path := range opts.Only {
			scanner.only[path] = true
		}
	}
	w := &Watcher{
		opts: opts, logger: opts.Logger, scanner: scanner, folders: newFolderMonitor(opts.Logger),
		completeness: completeness{stableFor: opts.Config.StableFor, lease: leaseSays, seen: newWritesSeen()},
		active:       newActiveJobs(), wake: make(chan struct{}, 1),
	}
	w.queue = newQueue(opts.Config.StableFor, w.assess, opts.Logger)
	w.queue.controlBefore = w.controlBefore
	if opts.Changed != nil {
		w.queue.notify = opts.Changed
	}
	scanner.entered, scanner.unreadable = w.folders.entered, w.folders.unreadable
	return w, nil
}

// Start opens the journal, resolves what the last run left open, and starts polling. It fails if another process uses
// the state directory, or if a folder cannot be created.
func (w *Watcher) Start() error {
	if err := w.open(); err != nil {
		return err
	}
	inotify, err := newInotify()
	if err != nil {
		w.logger.Info("inotify is not available: new files are found only by polling", zap.Error(err))
	}
	w.folders.inotify = inotify
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.loops.Go(func() { w.pollLoop(ctx) })
	w.loops.Go(func() { w.disposal.loop(ctx) })
	if inotify != nil {
		w.loops.Go(func() { w.listen(inotify) })
	}
	return nil
}

// open does everything that comes before the first poll.
func (w *Watcher) open() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return ErrStopped
	}
	if w.running {
		return errors.New("the watcher is already running")
	}
	state := w.opts.statePath()
	output, err := w.prepareFolders(state)
	if err != nil {
		return err
	}
	if w.journal, err = openJournal(state, w.logger); err != nil {
		return err
	}
	w.journal.notify = w.queue.notify
	w.names = newNames(output, &w.opts)
	w.disposal = newDisposal(w.journal, w.completeness, w.queue.now, &w.opts)
	w.guard = newGuard(output, w.journal, w.disposal, &w.opts)
	recovery := recovery{
		journal: w.journal, disposal: w.disposal, maxAttempts: w.opts.Retry.MaxAttempts, logger: w.logger,
		fileMode: w.opts.FileMode,
	}
	recovery.run()
	w.running = true
	return nil
}

// Stop makes Next return ErrStopped at once, waits for the claimed jobs until the context ends, suspends those that
// remain, and closes the journal. It may be called more than once, and without Start.
func (w *Watcher) Stop(ctx context.Context) error {
	w.mu.Lock()
	w.stopped = true
	w.queue.close()
	running := w.running
	w.mu.Unlock()
	if !running {
		return nil
	}
	if w.cancel != nil {
		w.cancel()
		if w.folders.inotify != nil {
			w.folders.inotify.close()
		}
	}
	err := w.active.wait(ctx)
	ended := make(chan struct{})
	go func() {
		w.loops.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		w.guard.check(true) // finished videos must stay finished after a restart
	case <-ctx.Done(): // a scan hangs in a file system that does not answer
		err = errors.Join(err, fmt.Errorf("a scan of the watched folders has not ended: %w", ctx.Err()))
	}
	return errors.Join(err, w.journal.close())
}

// QueueLength returns the number of files that are ready and not yet claimed.
func (w *Watcher) QueueLength() int { return w.queue.length() }

// Next waits for a ready file and claims it: the one that First was called for most recently, otherwise the one that
// has been ready longest or, among those ready since the same poll, the oldest. It returns the context's error, or
// ErrStopped. It may be called concurrently.
func (w *Watcher) Next(ctx context.Context) (*Job, error) {
	for {
		f, err := w.queue.next(ctx)
		if err != nil {
			return nil, err
		}
		if job := w.claim(f); job != nil {
			return job, nil
		}
	}
}

// TryNext claims the file that Next would return at once, if accept returns true for its path. Otherwise, it returns
// nil.
func (w *Watcher) TryNext(accept func(path string) bool) *Job {
	for {
		f, _, err := w.queue.tryNextIf(accept)
		if f == nil || err != nil {
			return nil
		}
		if job := w.claim(f); job != nil {
			return job
		}
	}
}

const (
	// minPollGap is the minimum time between two polls.
	minPollGap = 200 * time.Millisecond
	// idleFactor is how many times the duration of a poll the watcher rests after it, so that polls use at most 5 % of a
	// core.
	idleFactor = 19
)

// pollLoop polls until the context ends: every poll interval, sooner when a file is about to be ready or inotify
// reports one, later when polls take long.
func (w *Watcher) pollLoop(ctx context.Context) {
	for {
		wait := w.poll()
		gap := max(min(minPollGap, w.opts.Config.PollInterval), idleFactor*w.took)
		timer := time.NewTimer(max(gap, wait))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-w.wake:
			select { // one poll for a thousand files that arrive at once
			case <-time.After(gap):
			case <-ctx.Done():
			}
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// poll scans the folders once and returns the time until the next poll.
func (w *Watcher) poll() time.Duration {
	w.queue.pause(!w.guard.check(false)) // not part of the poll's duration: it may wait for the disk
	start := time.Now()
	w.folders.beginScan()
	w.found = w.scanner.scan(w.found[:0])
	next := w.queue.update(w.found)
	w.took = time.Since(start)
	return min(w.opts.Config.PollInterval, next)
}

// listen triggers polls when inotify reports a new file, and remembers which files are being written.
func (w *Watcher) listen(inotify *inotify) {
	err := inotify.listen(func(event inotifyEvent) {
		if strings.HasPrefix(filepath.Base(event.path), tempPrefix) {
			return
		}
		w.completeness.seen.handle(event)
		if event.mask&(unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_MOVED_FROM|unix.IN_DELETE) != 0 {
			w.pollSoon() // a lost event does no harm: the next regular poll finds the file
		}
	})
	if err != nil {
		w.logger.Warn("inotify failed: new files are found only by polling", zap.Error(err))
	}
}

// pollSoon triggers the next poll without waiting for the poll interval.
func (w *Watcher) pollSoon() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// requeue makes a claimed file ready again after a wait, or returns true if the operator canceled it.
func (w *Watcher) requeue(f *file, wait time.Duration) (canceled bool) {
	canceled = w.queue.requeue(f, wait)
	if wait > 0 {
		w.pollSoon() // to schedule the poll that finds it ready
	}
	return canceled
}
