// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"cmp"
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// queue holds the files that the last scan found, each in one phase, and hands out those that are ready.
//
// A file leaves the claimed phase only when its claimer calls requeue, postpone, settle or forget, whatever scans find
// in the meantime.
type queue struct {
	stableFor time.Duration
	assess    func(*found) assessment
	logger    *zap.Logger
	now       func() time.Time // tests set their own clock
	notify    func()           // called when what Overview shows may have changed
	// controlBefore returns what the operator requested, before a restart, for a file that is found.
	controlBefore func(*found) control

	mu      sync.Mutex
	closed  bool
	paused  bool // nothing may be claimed, see guard
	held    bool // nothing may be claimed, see Hold
	scans   uint64
	firsts  uint64           // the largest control.first
	files   map[string]*file // by path
	kinds   map[string]bool  // folders and extensions that reportKind has logged
	changed chan struct{}    // closed, and replaced, when a file may have become ready and when the queue is closed
}

// file is a file that the last scan found.
type file struct {
	path, rel string
	stamp     stamp
	held      heldReason // by the scanner
	scan      uint64     // the last scan that found it
	phase     phase
	// since is when a settling file was first found in its current state; due is when a queued one may be claimed.
	since, due time.Time
	// suspect means that the collector died while it processed this file. Suspects are processed one at a time, so that
	// the one that kills the collector does not repeatedly take the others down with it.
	suspect bool
	// claimFailures counts the claims that failed.
	claimFailures int
	awaits        int // in a row, see Job.Await
	wait          wait
	control       control
}

type phase int

const (
	settling phase = iota // may still be changing
	queued                // is ready, or will be when due
	claimed               // is being processed
	settled               // needs nothing until it changes
)

// assessment is what the journal and the reserved names say about a file that is new or has changed.
type assessment int

const (
	candidate    assessment = iota // to be processed
	crashSuspect                   // to be processed, but the collector died in the last attempt
	finished                       // needs nothing: done, failed, or one of our outputs
	jobOutput                      // the output of a job that has not ended
)

func newQueue(stableFor time.Duration, assess func(*found) assessment, logger *zap.Logger) *queue {
	return &queue{
		stableFor: stableFor, assess: assess, logger: logger, now: time.Now,
		notify: func() {}, controlBefore: func(*found) control { return control{} },
		files: map[string]*file{}, kinds: map[string]bool{}, changed: make(chan struct{}),
	}
}

// update takes in what a scan found, and returns the time until a file will be ready, or the maximum duration.
func (q *queue) update(seen []found) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	q.scans++
	for i := range seen {
		q.add(&seen[i], now)
	}
	next := time.Duration(math.MaxInt64)
	ready := false
	for path, f := range q.files {
		if f.scan != q.scans && f.phase != claimed {
			delete(q.files, path)
			q.notify()
			continue
		}
		if f.phase == settling && f.wait.held == heldChanging {
			if remaining := q.settlingTime(f) - now.Sub(f.since); remaining > 0 {
				next = min(next, remaining)
			} else {
				f.phase, f.due, f.wait.held = queued, now, ""
			}
		}
		q.report(f, now)
		if f.phase == queued {
			if remaining := f.due.Sub(now); remaining > 0 {
				next = min(next, remaining)
			} else {
				ready = true
			}
		}
	}
	if ready {
		q.broadcast()
	}
	return next
}

// settlingTime returns how long a file must stay unchanged. An empty file may only reserve a name for content to come.
func (q *queue) settlingTime(f *file) time.Duration {
	if f.stamp.Size == 0 {
		return longCalm(q.stableFor)
	}
	return q.stableFor
}

// longCalm returns how long a file must stay unchanged if stable_for is not enough: ten times as long, but at most ten
// minutes longer.
func longCalm(stableFor time.Duration) time.Duration {
	return min(10*stableFor, stableFor+10*time.Minute)
}

// add compares a file with what earlier scans found. The caller holds mu.
func (q *queue) add(seen *found, now time.Time) {
	earlier := q.files[seen.path]
	if earlier != nil {
		earlier.scan = q.scans
		if earlier.phase == claimed || earlier.stamp == seen.stamp && earlier.held == seen.held {
			return
		}
	}
	assessed := q.assess(seen)
	if assessed == jobOutput {
		return
	}
	f := &file{
		path: seen.path, rel: seen.rel, stamp: seen.stamp, held: seen.held, scan: q.scans, phase: settling, since: now,
		suspect: assessed == crashSuspect, wait: wait{since: now}, control: q.controlBefore(seen),
	}
	if earlier != nil && earlier.phase != settled {
		f.wait, f.control = earlier.wait, earlier.control
	}
	q.firsts = max(q.firsts, f.control.first)
	q.files[seen.path] = f
	q.notify()
	switch {
	case assessed == finished:
		f.phase = settled
	case seen.mode != unix.S_IFREG:
		f.phase = settled
		if earlier == nil {
			q.logger.Warn("ignoring something that is not a regular file",
				zap.String("file", f.path), zap.String("kind", kindOf(seen.mode)))
		}
	case seen.held.final():
		f.phase = settled
		q.reportKind(f)
	case seen.held != "":
		f.wait.held = seen.held
	default:
		f.wait.held = heldChanging
	}
}

func kindOf(mode uint32) string {
	switch mode {
	case unix.S_IFLNK:
		return "symbolic link"
	case unix.S_IFIFO:
		return "named pipe"
	case unix.S_IFSOCK:
		return "socket"
	}
	return "device"
}

// length returns the number of files that are ready.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	now, n := q.now(), 0
	for _, f := range q.files {
		if f.ready(now) {
			n++
		}
	}
	return n
}

// next waits for a file that is ready and claims it. It returns the context's error, or ErrStopped.
func (q *queue) next(ctx context.Context) (*file, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, changed, err := q.tryNext()
		if f != nil || err != nil {
			return f, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// tryNext claims the next file, if one is ready. Otherwise, it returns a channel that is closed when that may have
// changed.
func (q *queue) tryNext() (*file, <-chan struct{}, error) {
	return q.tryNextIf(func(string) bool { return true })
}

// tryNextIf is tryNext, but leaves the next file alone if accept returns false for its path.
func (q *queue) tryNextIf(accept func(path string) bool) (*file, <-chan struct{}, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, nil, ErrStopped
	}
	if q.paused || q.held {
		return nil, q.changed, nil
	}
	suspectClaimed := false
	for _, f := range q.files {
		suspectClaimed = suspectClaimed || f.phase == claimed && f.suspect
	}
	now := q.now()
	var first *file
	for _, f := range q.files {
		if f.ready(now) && !(suspectClaimed && f.suspect) && (first == nil || before(f, first)) {
			first = f
		}
	}
	if first != nil && !accept(first.path) {
		first = nil
	}
	if first != nil {
		first.phase = claimed
	}
	return first, q.changed, nil
}

// takeReady claims all files that are ready, in no particular order.
func (q *queue) takeReady() (all []*file) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	for _, f := range q.files {
		if f.ready(now) {
			f.phase = claimed
			all = append(all, f)
		}
	}
	return all
}

func (f *file) ready(now time.Time) bool {
	return f.phase == queued && !f.due.After(now) && !f.control.paused
}

func before(a, b *file) bool {
	return cmp.Or(cmp.Compare(b.control.first, a.control.first), a.due.Compare(b.due),
		cmp.Compare(a.stamp.MTime, b.stamp.MTime), strings.Compare(a.path, b.path)) < 0
}

// requeue makes a claimed file ready again after a delay. If the operator canceled the file, requeue leaves it alone
// instead, and returns true.
func (q *queue) requeue(f *file, delay time.Duration) (canceled bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.broadcast()
	due := q.now().Add(delay)
	if f.settleCanceled() {
		return true
	}
	if f.control.stop != nil { // a file that was stopped keeps its place in the queue
		due, f.control.stop = f.due, nil
	}
	f.phase, f.due, f.wait = queued, due, wait{since: q.now()}
	return false
}

// settleCanceled leaves a claimed file alone if the operator canceled it, and reports whether it did.
func (f *file) settleCanceled() bool {
	if !errors.Is(f.control.stop, ErrCanceled) {
		return false
	}
	f.phase, f.control = settled, control{}
	return true
}

// await counts that a file has to wait for something that all files need, and returns how many times in a row it did.
func (q *queue) await(f *file) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	f.awaits++
	return f.awaits
}

// awaited resets the count of await, since a file got further than before.
func (q *queue) awaited(f *file) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f.awaits = 0
}

// postpone makes a claimed file that turned out not to be complete ready again after a delay. Like requeue, it returns
// true if the operator canceled the file.
func (q *queue) postpone(f *file, held heldReason, delay time.Duration) (canceled bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.broadcast()
	if f.settleCanceled() {
		return true
	}
	f.control.stop = nil
	f.phase, f.due, f.wait.held = queued, q.now().Add(delay), held
	return false
}

// settle leaves a claimed file alone until it changes.
func (q *queue) settle(f *file) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f.phase, f.control = settled, control{}
	q.broadcast() // another suspect may be claimed now
}

// forget makes the next scan treat a claimed file as new.
func (q *queue) forget(f *file) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.files, f.path)
}

// pause sets whether claiming is paused.
func (q *queue) pause(paused bool) { q.set(&q.paused, paused) }

// hold is pause for another reason, independent of it.
func (q *queue) hold(held bool) { q.set(&q.held, held) }

func (q *queue) set(flag *bool, value bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if *flag != value {
		*flag = value
		q.broadcast()
	}
}

// close makes next return ErrStopped.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.broadcast()
}

// broadcast wakes everything that waits for a change. The caller holds mu.
func (q *queue) broadcast() {
	close(q.changed)
	q.changed = make(chan struct{})
	q.notify()
}

// backoff returns the wait after the n-th failure, with n counting from 1.
func backoff(r Retry, n int) time.Duration {
	wait := r.InitialInterval
	for i := 1; i < n && wait < r.MaxInterval; i++ {
		wait *= 2
	}
	return min(wait, r.MaxInterval)
}
