// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/render"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// renders renders corrections, one video at a time. Requests stay on disk until they are done, so that a restart
// continues with them.
type renders struct {
	*queue[consoleapi.VideoID]
	workspace *Workspace
	directory string

	mu     sync.Mutex
	states map[consoleapi.VideoID]*renderState
}

type renderState struct {
	consoleapi.RenderState
	Role   consoleapi.Role `json:"role"`
	cancel context.CancelFunc
}

func newRenders(w *Workspace, directory string) (*renders, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	r := &renders{queue: newQueue[consoleapi.VideoID](), workspace: w, directory: directory,
		states: map[consoleapi.VideoID]*renderState{}}
	wanted, _ := filepath.Glob(filepath.Join(directory, "*.json")) // the pattern is valid
	for _, path := range wanted {
		text, err := durable.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
		s := &renderState{}
		if json.Unmarshal(text, s) == nil {
			id := consoleapi.VideoID(strings.TrimSuffix(filepath.Base(path), ".json"))
			s.State, s.Frames = consoleapi.RenderWaiting, 0
			r.states[id] = s
			r.want(id)
		}
	}
	return r, nil
}

func (r *renders) path(id consoleapi.VideoID) string {
	return filepath.Join(r.directory, string(id)+".json")
}

// state returns the state of the rendering of a video, or nil if there is none.
func (r *renders) state(id consoleapi.VideoID) *consoleapi.RenderState {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.states[id]
	if s == nil {
		return nil
	}
	copied := s.RenderState
	return &copied
}

// operations returns how many operations are being rendered, or wait for it; 0 for none.
func (r *renders) operations(id consoleapi.VideoID) int {
	if s := r.state(id); s != nil && s.Active() {
		return s.Operations
	}
	return 0
}

// active reports whether a video is being rendered, or waits for it.
func (r *renders) active(id consoleapi.VideoID) bool {
	s := r.state(id)
	return s != nil && s.Active()
}

// Renders returns the rendering of a video, if there is one, and its revisions.
func (w *Workspace) Renders(_ context.Context, id consoleapi.VideoID) (consoleapi.Renders, error) {
	o, err := w.find(id)
	if err != nil {
		return consoleapi.Renders{}, err
	}
	answer := consoleapi.Renders{Render: w.renders.state(id), Revisions: []consoleapi.Revision{}}
	if o.Phase == watch.PhaseDone {
		for i, output := range w.revisions(&o.Output) {
			answer.Revisions = append(answer.Revisions, w.revision(o, &output, i+1))
		}
	}
	return answer, nil
}

// Render queues the corrections of a video for rendering.
func (w *Workspace) Render(ctx context.Context, actor consoleapi.Actor, id consoleapi.VideoID,
	etag string) (consoleapi.Renders, error) {
	w.editing.mu.Lock()
	defer w.editing.mu.Unlock()
	v, err := w.editsOf(id)
	if err != nil {
		return consoleapi.Renders{}, err
	}
	switch open := v.unconfirmed(); {
	case etag != v.document.ETag():
		return consoleapi.Renders{}, fmt.Errorf("%w: somebody else has made corrections: look at them first",
			consoleapi.ErrPrecondition)
	case w.renders.active(id):
		return consoleapi.Renders{}, fmt.Errorf("%w: the video is already being rendered", consoleapi.ErrConflict)
	case !v.pending():
		return consoleapi.Renders{}, fmt.Errorf("%w: there are no corrections left to render", consoleapi.ErrConflict)
	case len(open) > 0:
		return consoleapi.Renders{}, fmt.Errorf("%w: operation %d uncovers something: a second person has to confirm it",
			consoleapi.ErrConflict, open[0])
	}
	s := &renderState{RenderState: consoleapi.RenderState{State: consoleapi.RenderWaiting, By: actor.Name,
		At: time.Now().UTC(), Operations: len(v.document.Operations)}, Role: actor.Role}
	text, err := json.Marshal(s)
	if err == nil {
		err = durable.ReplaceFile(w.renders.path(id), text, 0o600)
	}
	if err != nil {
		return consoleapi.Renders{}, fmt.Errorf("the rendering cannot be recorded: %w", err)
	}
	if _, err := w.record(w.renderEntry(s, id, v, audit.RenderStarted)); err != nil {
		return consoleapi.Renders{}, err
	}
	w.renders.mu.Lock()
	w.renders.states[id] = s
	w.renders.mu.Unlock()
	w.renders.want(id)
	w.Notify()
	return w.Renders(ctx, id)
}

// renderEntry returns an audit entry about a rendering.
func (w *Workspace) renderEntry(s *renderState, id consoleapi.VideoID, v *edited, action string) audit.Entry {
	return audit.Entry{Actor: s.By, Role: string(s.Role), Action: action, Video: string(id), Name: w.nameOf(id, v),
		Revision: render.ID(len(v.outputs)), Output: v.latest().Name, Note: fmt.Sprintf("%d operations", s.Operations)}
}

// CancelRender cancels a rendering that waits or runs.
func (w *Workspace) CancelRender(ctx context.Context, actor consoleapi.Actor,
	id consoleapi.VideoID) (consoleapi.Renders, error) {
	v, err := w.editsOf(id)
	if err != nil {
		return consoleapi.Renders{}, err
	}
	w.renders.mu.Lock()
	s := w.renders.states[id]
	if s == nil || !s.Active() {
		w.renders.mu.Unlock()
		return consoleapi.Renders{}, fmt.Errorf("%w: nothing is being rendered", consoleapi.ErrConflict)
	}
	s.State = consoleapi.RenderCanceled
	if s.cancel != nil {
		s.cancel()
	}
	canceled := *s
	w.renders.mu.Unlock()
	canceled.By, canceled.Role = actor.Name, actor.Role
	_, err = w.record(w.renderEntry(&canceled, id, v, audit.RenderCanceled))
	if err = errors.Join(err, w.renders.forget(id)); err != nil {
		return consoleapi.Renders{}, err
	}
	w.Notify()
	return w.Renders(ctx, id)
}

// forget removes the request to render a video from disk.
func (r *renders) forget(id consoleapi.VideoID) error {
	return durable.RemoveIfThere(r.path(id))
}

// loop renders the queued videos until the context ends.
func (r *renders) loop(ctx context.Context) {
	r.queue.loop(ctx, func(id consoleapi.VideoID) { r.take(ctx, id) }, r.workspace.Notify)
}

// take renders a video.
func (r *renders) take(ctx context.Context, id consoleapi.VideoID) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.mu.Lock()
	s := r.states[id]
	if s == nil || s.State != consoleapi.RenderWaiting {
		r.mu.Unlock()
		return
	}
	s.State, s.cancel = consoleapi.RenderRunning, cancel
	r.mu.Unlock()
	r.workspace.Notify()
	err := r.render(ctx, id, s)
	if r.workspace.work.Err() != nil {
		return // it continues after the restart
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		delete(r.states, id)
	case s.State == consoleapi.RenderRunning: // not canceled
		s.State = consoleapi.RenderFailed
		s.Message = anyPath.ReplaceAllStringFunc(err.Error(), filepath.Base)
		r.workspace.opts.Logger.Error("corrections could not be rendered", zap.String("video", string(id)), zap.Error(err))
	}
	if err := r.forget(id); err != nil {
		r.workspace.opts.Logger.Warn("a finished rendering cannot be removed from the record", zap.Error(err))
	}
}

func (r *renders) render(ctx context.Context, id consoleapi.VideoID, s *renderState) error {
	w := r.workspace
	v, err := w.editsOf(id)
	if err != nil {
		return err
	}
	options := w.opts.Render
	options.Tools, options.Limits, options.Mode = w.opts.Tools, w.opts.Limits, w.opts.FileMode
	options.Own = w.opts.Watcher.Own
	options.Output, options.Edits = v.overview.Output.Path, v.document.Upto(s.Operations)
	options.Source = w.opts.Watcher.SourceOf(v.overview.Path)
	options.Progress = func(done, total int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		s.Frames, s.Total = done, total
	}
	result, err := render.Run(ctx, options)
	if errors.Is(err, render.ErrNothing) && v.rendered >= s.Operations {
		return nil // it was published before a crash
	}
	entry := w.renderEntry(s, id, v, audit.RenderFailed)
	if err != nil {
		if ctx.Err() == nil {
			entry.Note += ": " + w.withoutPaths(err, v.overview.Path)
			_, failed := w.record(entry)
			err = errors.Join(err, failed)
		}
		return err
	}
	return w.rendering(ctx, v, entry, result)
}

// rendering records a new revision, and queues a second look at it.
func (w *Workspace) rendering(ctx context.Context, v *edited, entry audit.Entry, result render.Result) error {
	entry.Action, entry.Revision = audit.RenderPublished, result.ID
	all := w.revisions(&v.overview.Output)
	latest := all[len(all)-1]
	entry.Output = latest.Name
	sum, err := w.hashes.of(ctx, latest.Path)
	if err != nil {
		return err
	}
	entry.OutputSHA256 = sum
	entry.Note = fmt.Sprintf("%s, %d of %d frames encoded again from the %s", entry.Note, result.Encoded, result.Frames,
		result.From)
	w.looks.want(latest)
	_, err = w.record(entry)
	return err
}
