// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"cmp"
	"context"
	"math"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// queue holds the files that the last scan found, each in one phase, and hands out those that are ready.
//
// A file leaves the claimed phase only when whoever claimed it calls requeue, settle or forget, whatever scans find
// meanwhile.
type queue struct {
	stableFor time.Duration
	assess    func(*found) assessment
	logger    *zap.Logger
	now       func() time.Time // tests set a clock of their own

	mu      sync.Mutex
	closed  bool
	scans   uint64
	files   map[string]*file // by path
	changed chan struct{}    // closed, and replaced, when a file may have become ready and when the queue is closed
}

// file is one that the last scan found.
type file struct {
	path, rel string
	stamp     stamp
	scan      uint64 // the last one that found it
	phase     phase
	// since is when a settling file was first found as it is; due is when a queued one may be claimed.
	since, due time.Time
	// suspect tells that the collector died while it processed this file. Suspects are processed one at a time, so that
	// the one that kills the collector does not take the others down with it again and again.
	suspect bool
	// claimFailures counts the claims that failed.
	claimFailures int
	logged        bool // what it waits for, or why it is ignored
}

type phase int

const (
	settling phase = iota // may still be changing
	queued                // is ready, or will be when due
	claimed               // is being processed
	settled               // needs nothing until it changes
)

// assessment is what the journal and the reserved names say of a file that is new, or not what it was.
type assessment int

const (
	candidate    assessment = iota // to be processed
	crashSuspect                   // to be processed, but the collector died in the last attempt
	finished                       // needs nothing: done, failed, or an output of ours
	jobOutput                      // the output of a job that has not ended
)

func newQueue(stableFor time.Duration, assess func(*found) assessment, logger *zap.Logger) *queue {
	return &queue{
		stableFor: stableFor, assess: assess, logger: logger, now: time.Now,
		files: map[string]*file{}, changed: make(chan struct{}),
	}
}

// update takes in what a scan found and returns the time until a file will be ready, or the longest there is.
func (q *queue) update(seen []found) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	q.scans++
	for i := range seen {
		q.add(&seen[i], now)
	}
	wait := time.Duration(math.MaxInt64)
	ready := false
	for path, f := range q.files {
		if f.scan != q.scans && f.phase != claimed {
			delete(q.files, path)
			continue
		}
		if f.phase == settling {
			if remaining := q.stableFor - now.Sub(f.since); remaining > 0 {
				wait = min(wait, remaining)
			} else {
				f.phase, f.due = queued, now
			}
		}
		if f.phase == queued {
			if remaining := f.due.Sub(now); remaining > 0 {
				wait = min(wait, remaining)
			} else {
				ready = true
			}
		}
	}
	if ready {
		q.broadcast()
	}
	return wait
}

// add compares a file with what earlier scans found. Called under mu.
func (q *queue) add(seen *found, now time.Time) {
	earlier := q.files[seen.path]
	if earlier != nil {
		earlier.scan = q.scans
		if earlier.phase == claimed || earlier.stamp == seen.stamp {
			return
		}
	}
	assessed := q.assess(seen)
	if assessed == jobOutput {
		return
	}
	f := &file{
		path: seen.path, rel: seen.rel, stamp: seen.stamp, scan: q.scans, phase: settling, since: now,
		suspect: assessed == crashSuspect, logged: earlier != nil && earlier.logged,
	}
	q.files[seen.path] = f
	switch {
	case seen.mode != unix.S_IFREG:
		f.phase = settled
		if !f.logged {
			f.logged = true
			q.logger.Warn("ignoring what is not a regular file",
				zap.String("file", f.path), zap.String("kind", kindOf(seen.mode)))
		}
	case assessed == finished:
		f.phase = settled
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

// length is the number of files that are ready.
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

// tryNext claims the next file, if one is ready, and otherwise returns a channel that is closed when that may have
// changed.
func (q *queue) tryNext() (*file, <-chan struct{}, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, nil, ErrStopped
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
	if first != nil {
		first.phase = claimed
	}
	return first, q.changed, nil
}

func (f *file) ready(now time.Time) bool { return f.phase == queued && !f.due.After(now) }

func before(a, b *file) bool {
	return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.stamp.MTime, b.stamp.MTime), strings.Compare(a.path, b.path)) < 0
}

// requeue makes a claimed file ready again after a wait.
func (q *queue) requeue(f *file, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f.phase, f.due = queued, q.now().Add(wait)
	q.broadcast()
}

// settle leaves a claimed file alone until it changes.
func (q *queue) settle(f *file) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f.phase = settled
	q.broadcast() // another suspect may go now
}

// forget makes the next scan treat a claimed file as a new one.
func (q *queue) forget(f *file) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.files, f.path)
}

// close makes next return ErrStopped.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.broadcast()
}

// broadcast wakes everybody who waits for a change. Called under mu.
func (q *queue) broadcast() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// backoff is the wait after the n-th failure, n from 1.
func backoff(r Retry, n int) time.Duration {
	wait := r.InitialInterval
	for i := 1; i < n && wait < r.MaxInterval; i++ {
		wait *= 2
	}
	return min(wait, r.MaxInterval)
}
