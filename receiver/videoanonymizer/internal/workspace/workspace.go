// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package workspace implements what the console shows of a receiver and lets people do there: the videos and their
// progress, the outputs and their reviews. Whatever must survive a restart is on disk: reviews in the state directory,
// approvals next to the outputs, and the audit. The only pixels it shows are those of outputs.
package workspace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/render"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Options are the parts of the receiver that a workspace shows.
type Options struct {
	// Receiver is the ID of the receiver.
	Receiver string
	// Watcher must have been started.
	Watcher *watch.Watcher
	Emitter *telemetry.Emitter
	Recent  *telemetry.Recent
	Tools   media.Tools
	Limits  media.Limits
	// Directory holds the state of reviews. It is created if it is missing.
	Directory string
	// OutputDirectory is the directory to which names in the audit are relative.
	OutputDirectory string
	// FileMode is the mode of the approvals next to the outputs, which name the approver. It defaults to durable.Private.
	FileMode os.FileMode
	// Pseudonym hides the names of the files at the paths, and of those below the configured folders, in a text. It is
	// applied to what leaves the receiver; nil hides nothing.
	Pseudonym func(text string, paths ...string) string
	// SecondLook searches an output once more, see anonymize.Runner.
	SecondLook func(ctx context.Context, output string, times []float64,
		use func(frame int, heads []mask.Head)) (sample int, err error)
	// Render holds what all renderings have in common; the workspace sets output, source and edits.
	Render render.Options
	// TwoPeople requires a second person to confirm what uncovers something.
	TwoPeople bool
	// ApprovedDirectory receives links to, or copies of, approved outputs; "" for none.
	ApprovedDirectory string
	Logger            *zap.Logger
}

// Workspace implements consoleapi.Workspace.
type Workspace struct {
	opts    Options
	changed chan struct{}
	audit   *audit.Log
	reviews *reviews
	reports *reports
	hashes  *hashes
	proxies *proxies
	stills  *stills
	looks   *looks
	editing *editing
	renders *renders

	work   context.Context // ends with the workspace
	cancel context.CancelFunc
	loops  sync.WaitGroup

	dirty atomic.Bool // known may be outdated

	mu    sync.Mutex // never taken by Notify, which the watcher calls while it holds its own locks
	known map[consoleapi.VideoID]watch.Overview
	ids   map[string]consoleapi.VideoID // by path
	at    time.Time                     // when known was read
}

var _ consoleapi.Workspace = (*Workspace)(nil)

// New opens a workspace. The caller must call Close.
func New(opts Options) (*Workspace, error) {
	if err := os.MkdirAll(opts.Directory, 0o700); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	opts.FileMode = cmp.Or(opts.FileMode, durable.Private)
	if opts.Pseudonym == nil {
		opts.Pseudonym = func(text string, _ ...string) string { return text }
	}
	w := &Workspace{opts: opts, changed: make(chan struct{}, 1), ids: map[string]consoleapi.VideoID{}}
	w.dirty.Store(true)
	w.work, w.cancel = context.WithCancel(context.Background())
	var err error
	if w.audit, err = audit.Open(opts.Directory); err != nil {
		return nil, err
	}
	if w.reviews, err = openReviews(filepath.Join(opts.Directory, reviewsFolder)); err == nil {
		w.proxies, err = newProxies(w, filepath.Join(opts.Directory, proxiesFolder))
	}
	if err != nil {
		return nil, errors.Join(err, w.audit.Close())
	}
	w.reports = newReports()
	w.stills = newStills(w)
	w.hashes = newHashes(w.Notify)
	w.looks = newLooks(w)
	w.editing = &editing{}
	if w.renders, err = newRenders(w, filepath.Join(opts.Directory, rendersFolder)); err != nil {
		return nil, errors.Join(err, w.audit.Close())
	}
	w.loops.Go(func() { w.hashes.loop(w.work) })
	w.loops.Go(func() { w.looks.loop(w.work) })
	w.loops.Go(func() { w.renders.loop(w.work) })
	return w, nil
}

// Close ends the background tasks of the workspace.
func (w *Workspace) Close() error {
	w.cancel()
	w.loops.Wait()
	return w.audit.Close()
}

// Notify says that a video may have changed. It returns at once.
func (w *Workspace) Notify() {
	w.dirty.Store(true)
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// Changed returns a channel that is signaled after Notify.
func (w *Workspace) Changed() <-chan struct{} { return w.changed }

// overviewAge is how long an overview is reused while only times change.
const overviewAge = 500 * time.Millisecond

// overview returns what the watcher knows, by ID. The map must not be changed.
func (w *Workspace) overview() map[consoleapi.VideoID]watch.Overview {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.dirty.Swap(false) && time.Since(w.at) < overviewAge {
		return w.known
	}
	w.at = time.Now()
	all := w.opts.Watcher.Overview()
	known := make(map[consoleapi.VideoID]watch.Overview, len(all))
	for _, o := range all {
		known[w.idOf(o.Path)] = o
	}
	if len(w.ids) > 2*len(known)+1000 { // mostly of files that are gone
		clear(w.ids)
	}
	w.known = known
	return known
}

// idOf returns the ID of a path, which telemetry uses, too. If names are hidden, the ID does not reveal whether a
// guessed path is right. The caller holds mu.
func (w *Workspace) idOf(path string) consoleapi.VideoID {
	id, ok := w.ids[path]
	if !ok {
		id = VideoID(w.opts.Receiver, path, w.opts.Pseudonym)
		w.ids[path] = id
	}
	return id
}

func (w *Workspace) find(id consoleapi.VideoID) (watch.Overview, error) {
	o, ok := w.overview()[id]
	if !ok {
		return o, fmt.Errorf("%w: there is no such video", consoleapi.ErrNotFound)
	}
	return o, nil
}

// Videos returns all videos, or only those that are being processed.
func (w *Workspace) Videos(ctx context.Context, working bool) ([]consoleapi.Video, error) {
	known, active := w.overview(), w.active()
	videos := make([]consoleapi.Video, 0, len(known))
	for id, o := range known {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !working || o.Phase == watch.PhaseWorking {
			videos = append(videos, w.describe(id, o, active))
		}
	}
	return videos, nil
}

// Video returns one video.
func (w *Workspace) Video(_ context.Context, id consoleapi.VideoID) (consoleapi.Video, error) {
	o, err := w.find(id)
	if err != nil {
		return consoleapi.Video{}, err
	}
	return w.describe(id, o, w.active()), nil
}

// active returns the videos that are being processed, by path.
func (w *Workspace) active() map[string]telemetry.Active {
	active := map[string]telemetry.Active{}
	for _, a := range w.opts.Emitter.Active() {
		active[a.Key] = a
	}
	return active
}

func (w *Workspace) describe(id consoleapi.VideoID, o watch.Overview,
	active map[string]telemetry.Active) consoleapi.Video {
	v := consoleapi.Video{
		ID: id, Name: filepath.Base(o.Path), Receiver: w.opts.Receiver, Size: o.Size, Attempt: o.Attempt,
		Updated: o.Updated.UTC(), Frames: int(o.Furthest), Warnings: []consoleapi.Warning{},
	}
	switch o.Phase {
	case watch.PhaseDone:
		w.describeDone(&v, o)
	case watch.PhaseFailed:
		v.State, v.Frames = consoleapi.StateFailed, 0
		if o.Reason == watch.ReasonCanceled {
			v.State = consoleapi.StateCanceled
		}
		v.Failure = w.failure(o, false)
	case watch.PhaseWorking:
		v.State = consoleapi.StateWorking
		describeProgress(&v, active[o.Path])
	default:
		v.State, v.Position = consoleapi.StateWaiting, o.Position
		if o.Held != "" {
			v.WaitingFor = w.withoutPaths(errorText(o.Held), o.Path)
		}
		if o.Phase == watch.PhasePaused {
			v.State = consoleapi.StatePaused
		}
		if o.Reason != "" {
			v.Failure = w.failure(o, true)
		}
		if !o.Due.IsZero() {
			v.WaitingFor = "retry"
		}
	}
	return v
}

func describeProgress(v *consoleapi.Video, a telemetry.Active) {
	v.Frames = max(v.Frames, a.Done)
	v.PeopleMax, v.Masks, v.Duration = a.Most, a.Masks, a.Duration.Seconds()
	v.Progress = max(0, a.Progress.Done)
	v.FramesPerS = a.Progress.Rate
	if v.Progress > 0 && v.Progress < 1 {
		v.FramesTotal = int(float64(v.Frames) / v.Progress)
	}
	if a.Progress.Remaining >= 0 && a.Progress.Rate > 0 {
		left := a.Progress.Remaining.Seconds()
		v.ETA = &left
	}
}

// Control performs an action on a video.
func (w *Workspace) Control(ctx context.Context, actor consoleapi.Actor, id consoleapi.VideoID,
	action consoleapi.Action) (consoleapi.Video, error) {
	o, err := w.find(id)
	if err != nil {
		return consoleapi.Video{}, err
	}
	actions := map[consoleapi.Action]struct {
		do     func(path string) error
		record string
	}{
		consoleapi.ActionRetry:  {w.opts.Watcher.Retry, audit.Retried},
		consoleapi.ActionPause:  {w.opts.Watcher.Pause, audit.Paused},
		consoleapi.ActionResume: {w.opts.Watcher.Resume, audit.Resumed},
		consoleapi.ActionCancel: {w.opts.Watcher.Cancel, audit.Canceled},
		consoleapi.ActionFirst:  {w.opts.Watcher.First, audit.PutFirst},
	}
	a, ok := actions[action]
	if !ok {
		return consoleapi.Video{}, fmt.Errorf("%w: %q is not an action", consoleapi.ErrInvalid, action)
	}
	switch err := a.do(o.Path); {
	case errors.Is(err, watch.ErrRefused), errors.Is(err, os.ErrNotExist):
		return consoleapi.Video{}, fmt.Errorf("%w: %s", consoleapi.ErrConflict, w.withoutPaths(err, o.Path))
	case err != nil:
		return consoleapi.Video{}, err
	}
	w.Notify()
	_, err = w.record(audit.Entry{Actor: actor.Name, Role: string(actor.Role), Action: a.record,
		Video: string(id), Name: filepath.Base(o.Path)})
	if err != nil {
		return consoleapi.Video{}, err
	}
	if o, err = w.find(id); err != nil { // the next scan finds it again
		return w.describe(id, watch.Overview{Path: o.Path, Phase: watch.PhaseWaiting, Updated: time.Now()}, nil), nil
	}
	return w.describe(id, o, w.active()), ctx.Err()
}

// Upload puts a file into a watched folder.
func (w *Workspace) Upload(_ context.Context, actor consoleapi.Actor, name string,
	from io.Reader) (consoleapi.Upload, error) {
	stored, size, err := w.opts.Watcher.Receive(name, from)
	if errors.Is(err, watch.ErrRefused) {
		return consoleapi.Upload{}, fmt.Errorf("%w: %w", consoleapi.ErrInvalid, err)
	}
	if err != nil {
		return consoleapi.Upload{}, err
	}
	_, err = w.record(audit.Entry{Actor: actor.Name, Role: string(actor.Role), Action: audit.Uploaded, Name: stored})
	return consoleapi.Upload{Name: stored, Size: size, Receiver: w.opts.Receiver}, err
}

// Record records what the receiver did itself. A decision stays valid if the report on which it was based has expired.
func (w *Workspace) Record(e audit.Entry) error {
	if _, err := w.record(e); err != nil || e.Action != audit.ReportExpired {
		return err
	}
	for _, o := range w.overview() {
		if o.Phase != watch.PhaseDone || o.Output.Name != e.Output {
			continue
		}
		_, err := w.reviews.change(&o.Output, func(r *review) error {
			if r.Decision != nil {
				r.Decision.ReportSHA256 = ""
			}
			return nil
		})
		return err
	}
	return nil
}

// record records an action in the audit, and as a log record, so that it also leaves the machine.
func (w *Workspace) record(e audit.Entry) (audit.Entry, error) {
	e, err := w.audit.Append(e)
	if err == nil {
		w.opts.Emitter.Acted(w.work, telemetry.Act{Action: e.Action, Actor: e.Actor, Role: e.Role, VideoID: e.Video,
			Output: e.OutputSHA256, Entry: e.Seq, Hash: e.Hash, At: e.Time})
	}
	return e, err
}

// Redact returns a text as it may appear in the log.
func (w *Workspace) Redact(text string) string { return w.opts.Pseudonym(text) }

// Status returns what the receiver is doing now. It leaves Counts and GPUs to the console.
func (w *Workspace) Status() consoleapi.StatusNow {
	second, rate := w.opts.Recent.Now()
	s := consoleapi.StatusNow{Time: time.Now().UTC(), FramesPerS: rate, Stages: stageTimes(&second),
		Counts: map[consoleapi.State]int{}, GPUs: []consoleapi.GPU{}}
	for _, a := range w.opts.Emitter.Active() {
		s.People += a.People
	}
	return s
}

func stageTimes(second *telemetry.Second) []consoleapi.StageTime {
	times := []consoleapi.StageTime{}
	mean := second.Stages()
	for i, stage := range telemetry.CostedStages {
		if mean[i] > 0 {
			times = append(times, consoleapi.StageTime{Name: stage, MS: milliseconds(mean[i])})
		}
	}
	return times
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// historyInterval is the number of seconds over which a point of History is averaged.
const historyInterval = 2

// History returns what the receiver did in the last minutes.
func (w *Workspace) History() consoleapi.History {
	h := consoleapi.History{Interval: historyInterval, Stages: map[string][]float64{}}
	seconds := w.opts.Recent.Seconds()
	for i := 0; i+historyInterval <= len(seconds); i += historyInterval {
		joined := telemetry.Join(seconds[i : i+historyInterval])
		h.Time = append(h.Time, float64(joined.Unix))
		h.FramesPerS = append(h.FramesPerS, float64(joined.Frames)/historyInterval)
		h.People = append(h.People, joined.People)
		mean := joined.Stages()
		for s, stage := range telemetry.CostedStages {
			h.Stages[stage] = append(h.Stages[stage], milliseconds(mean[s]))
		}
	}
	return h
}

// FrameTraces returns the traces of the latest frames.
func (w *Workspace) FrameTraces(video consoleapi.VideoID, limit int) []consoleapi.FrameTraceHead {
	heads := []consoleapi.FrameTraceHead{}
	key := ""
	if video != "" {
		o, err := w.find(video)
		if err != nil {
			return heads
		}
		key = o.Path
	}
	for _, f := range w.opts.Recent.Frames(key, limit) {
		heads = append(heads, w.traceHead(&f))
	}
	return heads
}

func (w *Workspace) traceHead(f *telemetry.FrameTrace) consoleapi.FrameTraceHead {
	w.mu.Lock()
	defer w.mu.Unlock()
	return consoleapi.FrameTraceHead{
		Trace: f.Trace, Video: w.idOf(f.Key), Name: filepath.Base(f.Key), Frame: f.Frame, Start: f.Start.UTC(),
		Duration: milliseconds(f.Duration), People: f.People, Failed: f.Failed,
	}
}

// FrameTrace returns the spans of a frame.
func (w *Workspace) FrameTrace(trace string) (consoleapi.FrameTrace, error) {
	for _, f := range w.opts.Recent.Frames("", int(^uint(0)>>1)) {
		if f.Trace != trace {
			continue
		}
		t := consoleapi.FrameTrace{FrameTraceHead: w.traceHead(&f)}
		spans := f.Spans()
		root := spans.At(0)
		for _, span := range spans.All() {
			s := consoleapi.Span{
				Span: span.SpanID().String(), Name: span.Name(), Attributes: span.Attributes().AsRaw(),
				Start:    float64(max(0, int64(span.StartTimestamp())-int64(root.StartTimestamp()))) / 1000,
				Duration: float64(span.EndTimestamp()-span.StartTimestamp()) / 1000,
				Failed:   span.Status().Code() != 0,
			}
			if !span.ParentSpanID().IsEmpty() {
				s.Parent = span.ParentSpanID().String()
			}
			t.Spans = append(t.Spans, s)
		}
		return t, nil
	}
	return consoleapi.FrameTrace{}, fmt.Errorf("%w: spans are kept only for the latest frames", consoleapi.ErrNotFound)
}
