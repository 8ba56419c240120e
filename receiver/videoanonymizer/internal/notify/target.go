// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

const (
	// The wait after the first failed attempt doubles with each further attempt.
	firstWait, longestWait = time.Second, 10 * time.Minute
	// maxWaiting is the maximum number of pending notifications per target. Beyond that, the oldest is dropped.
	maxWaiting = 10_000
)

// target is a receiver of notifications. Its pending notifications are files in a folder, whose names sort in the order
// of the events.
type target struct {
	*config.Notification
	directory string
	deliver   func(ctx context.Context, e *Event, document []byte) error
	logger    *zap.Logger
	added     chan struct{}

	mu   sync.Mutex // guards the names
	last int64      // makes names unique
}

func newTarget(n *config.Notification, parent string, logger *zap.Logger) (*target, error) {
	t := &target{Notification: n, directory: filepath.Join(parent, n.Name), added: make(chan struct{}, 1),
		logger: logger.With(zap.String("notification", n.Name))}
	if err := os.MkdirAll(t.directory, 0o700); err != nil {
		return nil, err
	}
	if n.Webhook == nil {
		t.deliver = (&command{n.Command}).deliver
		return t, nil
	}
	w, err := newWebhook(n.Webhook)
	if err != nil {
		return nil, err
	}
	t.deliver = w.deliver
	return t, nil
}

// add writes an event to disk, to be delivered, unless it already waits.
func (t *target) add(e *Event) error {
	if !t.Tells(e.Event) {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	waiting, err := t.waiting()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(waiting, func(name string) bool { return strings.HasSuffix(name, "-"+e.ID+suffix) }) {
		return nil
	}
	if len(waiting) >= maxWaiting {
		t.logger.Error("too many events are waiting for delivery: the oldest are dropped", zap.String("dropped", waiting[0]))
		if err := durable.RemoveIfThere(filepath.Join(t.directory, waiting[0])); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(t.directory, 0o700); err != nil { // the state directory may have been removed
		return err
	}
	document, err := json.Marshal(e)
	if err != nil {
		return err
	}
	t.last = max(t.last+1, time.Now().UnixNano())
	path := filepath.Join(t.directory, fmt.Sprintf("%020d-%s%s", t.last, e.ID, suffix))
	if err := durable.ReplaceFile(path, append(document, '\n'), durable.Private); err != nil {
		return err
	}
	select {
	case t.added <- struct{}{}:
	default:
	}
	return nil
}

const suffix = ".json"

// waiting returns the names of the files of pending notifications, oldest first.
func (t *target) waiting() (names []string, err error) {
	entries, err := os.ReadDir(t.directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), suffix) {
			names = append(names, entry.Name())
		}
	}
	return names, err
}

// run delivers notifications, one after another, until the context ends.
func (t *target) run(ctx context.Context) {
	failures := 0
	for {
		wait := time.Duration(-1) // until something is added
		waiting, err := t.waiting()
		if err == nil && len(waiting) > 0 {
			err = t.tell(ctx, filepath.Join(t.directory, waiting[0]))
			wait = 0
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			failures++
			wait = backoff(failures)
			t.logger.Warn("a notification was not delivered", zap.Int("attempt", failures),
				zap.Duration("next_try_in", wait), zap.Error(err))
		} else {
			failures = 0
		}
		if !t.sleep(ctx, wait) {
			return
		}
	}
}

// sleep waits for a duration or, if that is negative, until something is added. It returns false if the context ends.
func (t *target) sleep(ctx context.Context, wait time.Duration) bool {
	if wait < 0 {
		select {
		case <-ctx.Done():
			return false
		case <-t.added:
			return true
		}
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

func backoff(failures int) time.Duration {
	return min(firstWait<<min(failures-1, 20), longestWait)
}

// tell delivers the event in a file, and removes the file. It drops an event that is too old or cannot be read.
func (t *target) tell(ctx context.Context, path string) error {
	text, err := durable.ReadFile(path)
	var e Event
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		t.logger.Error("a notification cannot be read and is dropped", zap.Error(err))
		return durable.RemoveIfThere(path)
	}
	attempt, cancel := context.WithTimeout(ctx, t.Attempt())
	defer cancel()
	err = t.deliver(attempt, &e, text[:len(text)-1])
	if err != nil && ctx.Err() != nil {
		return nil
	}
	if err != nil && time.Since(e.Time) >= t.Patience() {
		t.logger.Error("a notification could not be delivered in time and is dropped", zap.String("event", e.Event),
			zap.String("id", e.ID), zap.Error(err))
		err = nil
	}
	if err != nil {
		return err
	}
	return durable.RemoveIfThere(path)
}
