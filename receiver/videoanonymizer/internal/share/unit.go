// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// unitRun is a claim of a unit.
type unitRun struct {
	*session
	folder, epoch string

	mu sync.Mutex
	// unit is the record as this worker last wrote it.
	unit entry[Unit]
}

// unit claims, processes and commits a unit.
func (s *session) unit(ctx context.Context, t task) error {
	r := &unitRun{session: s, folder: s.tree.work(&t.video.rec), unit: t.unit}
	rec := &r.unit.rec
	rec.State, rec.Since = UnitClaimed, s.opts.wall()
	s.claim(&rec.holding)
	s.opts.reached("claim")
	if err := write(ctx, s, &r.unit, &rec.holding); err != nil {
		return err
	}
	r.epoch = s.epoch(&rec.holding, r.unit.rev)
	s.opts.reached("claimed")
	edges, err := r.do(ctx, t)
	s.opts.reached("commit")
	return r.finish(ctx, edges, err)
}

func (r *unitRun) do(ctx context.Context, t task) (json.RawMessage, error) {
	if err := makeFolder(r.folder); err != nil {
		return nil, err
	}
	sealed, err := r.resume(ctx)
	if err != nil {
		return nil, err
	}
	edges, err := r.opts.Worker.Do(ctx, &UnitTask{
		Video: t.video.rec, Index: t.unit.rec.Index, Spec: t.unit.rec.Spec, Sealed: sealed,
		Source: r.tree.abs(t.video.rec.Path), run: r,
	})
	return edges, errors.Join(err, checkJSON(edges))
}

// resume returns the intact segments of earlier epochs, up to the first damaged one, and forgets the others.
func (r *unitRun) resume(ctx context.Context) (sealed []SealedSegment, err error) {
	rec := &r.unit.rec
	for _, segment := range rec.Sealed {
		paths, err := check(ctx, r.folder, segment)
		if err != nil && !unusable(err) {
			return nil, err
		}
		if err != nil {
			break
		}
		sealed = append(sealed, SealedSegment{paths, segment.Note})
	}
	if len(sealed) == len(rec.Sealed) {
		return sealed, nil
	}
	rec.Sealed = rec.Sealed[:len(sealed):len(sealed)]
	return sealed, write(ctx, r.session, &r.unit, &rec.holding)
}

// check returns the absolute paths of the files of a segment, which must have the content that was sealed.
func check(ctx context.Context, folder string, segment Segment) (paths []string, err error) {
	for _, f := range segment.Files {
		if filepath.Base(f.Name) != f.Name {
			return nil, fmt.Errorf("%q: %w", f.Name, errContent)
		}
		path := filepath.Join(folder, f.Name)
		if err := verify(ctx, path, f.Size, f.SHA256); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

func (r *unitRun) seal(ctx context.Context, paths []string, note json.RawMessage) error {
	if err := checkJSON(note); err != nil {
		return err
	}
	segment := Segment{Note: note}
	for _, path := range paths {
		size, sum, err := describe(ctx, path)
		if err != nil {
			return err
		}
		segment.Files = append(segment.Files, File{filepath.Base(path), size, sum})
	}
	if err := durable.SyncPath(r.folder); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := &r.unit.rec
	before := rec.Sealed
	rec.Sealed = append(slices.Clone(before), segment)
	r.opts.reached("seal")
	err := write(ctx, r.session, &r.unit, &rec.holding)
	if isPermanent(err) {
		rec.Sealed = before
	}
	return err
}

// restart forgets all segments.
func (r *unitRun) restart(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := &r.unit.rec
	if len(rec.Sealed) == 0 {
		return nil
	}
	rec.Sealed = nil
	return write(ctx, r.session, &r.unit, &rec.holding)
}

// finish records the outcome of the unit.
func (r *unitRun) finish(ctx context.Context, edges json.RawMessage, err error) error {
	if cause := context.Cause(ctx); cause != nil && err == nil {
		err = cause
	}
	if errors.Is(err, errFenced) || errors.Is(context.Cause(ctx), errFenced) {
		r.discard(ctx)
		return errFenced
	}
	rec := &r.unit.rec
	rec.release()
	rec.Since = r.opts.wall()
	ctx, cancel, again := r.settle(ctx, err, &rec.holding)
	defer cancel()
	switch {
	case err == nil:
		rec.State, rec.Edges = UnitDone, edges
	case again:
		rec.State = UnitOpen
	default:
		rec.State, rec.Error = UnitFailed, fmt.Sprintf("unit %d: %v", rec.Index, err)
	}
	if failed := write(ctx, r.session, &r.unit, &rec.holding); errors.Is(failed, errFenced) {
		r.discard(ctx)
		return failed
	} else if failed != nil {
		return failed
	}
	if err != nil {
		r.discard(ctx)
		return err
	}
	r.opts.reached(committed(r.session, r.unit.key))
	return nil
}

// committed returns the name of the point at which a record is done.
func committed(s *session, key string) string {
	return fmt.Sprintf("committed %s.%s", s.store.era, key)
}

// settle decides whether a failed task is tried again, and counts the attempt unless this machine is to blame: it is
// stopping, or does not see root. After an error that says nothing about the video, the record waits for a lease, so
// that others come first. The returned context may be used to record the outcome, even while this program stops.
func (s *session) settle(ctx context.Context, err error, h *holding) (context.Context, context.CancelFunc, bool) {
	stopping := context.Cause(ctx) != nil
	if err == nil && !stopping {
		return ctx, func() {}, false
	}
	limit := s.cfg.Lease
	if stopping {
		limit = min(limit, stopTimeout)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	if err == nil || stopping || s.tree.sees(s.me) != nil {
		return ctx, cancel, err != nil
	}
	h.Error, h.Reason = err.Error(), s.opts.Reason(err)
	if isPassing(err) {
		h.Wait = s.cfg.Lease
		return ctx, cancel, true
	}
	h.Attempts++
	return ctx, cancel, !isPermanent(err) && h.Attempts < s.opts.Attempts
}

// stopTimeout is how long a stopping program tries to record what it lets go of. If it cannot, the others wait for a
// lease.
const stopTimeout = 5 * time.Second

// discard removes the files of this claim that the record does not name, if the record can be read.
func (r *unitRun) discard(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	text, _, err := r.store.get(ctx, r.unit.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) || err != nil {
		return // they are collected once the video is done
	}
	var there Unit
	if err := json.Unmarshal(text, &there); err != nil {
		return
	}
	keep := map[string]bool{}
	for _, segment := range there.Sealed {
		for _, f := range segment.Files {
			keep[f.Name] = true
		}
	}
	removeOwn(r.folder, fmt.Sprintf("u%d.%s.", r.unit.rec.Index, r.epoch), keep)
}

// makeFolder creates a folder whose parent must exist: if the parent is missing, so is root.
func makeFolder(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return durable.SyncPath(filepath.Dir(path))
}

// checkJSON rejects what a worker provides if it is not JSON.
func checkJSON(text json.RawMessage) error {
	if len(text) > 0 && !json.Valid(text) {
		return Permanent(fmt.Errorf("the worker's note is not JSON: %.60q", text))
	}
	return nil
}
