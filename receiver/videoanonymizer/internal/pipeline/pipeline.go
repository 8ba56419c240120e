// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package pipeline takes one video through its stages: decode, judge (detection and pose on every n-th frame), track with a
// bounded look-ahead, paint, encode. The stages run in parallel, frames leave in order, and memory is bounded by the
// look-ahead whatever the length of the video. No frame reaches the sink unless it was judged, lies between frames that
// were, or is masked whole.
//
//	decode ──> queue ───────────────> sequence ──> paint ──> encode
//	   └─────> judge (n workers) ──────^  (waits for the frame's judgement)
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/track"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// Source gives the frames of a video in presentation order and io.EOF after the last one.
type Source interface {
	Next() (*media.Frame, error)
}

// Sink takes the frames in the same order. It does not keep them.
type Sink interface {
	Write(*media.Frame) error
}

// Options say how a video is judged and masked.
type Options struct {
	Detector vision.Detector
	// PoseModel may be nil: heads are then taken from the boxes alone.
	PoseModel vision.PoseEstimator
	// Faces may be nil: no faces are then looked for beside people.
	Faces vision.FaceDetector
	// Segmenter may be nil: heads alone are then masked, and not all of a person but trunk and limbs.
	Segmenter vision.Segmenter
	// DetectEvery is the distance between judged frames; 1 judges every frame. Judged in any case are the first and the last
	// frame, those on both sides of a scene cut, and those that follow the one judged before by maxGap or more, so that a
	// low frame rate does not make people jump unseen.
	DetectEvery int
	// Workers is how many frames are judged at once.
	Workers int
	// FrameMemory bounds the bytes of decoded frames held at once; the look-ahead shrinks to it.
	FrameMemory int64
	Track       track.Options
	Painter     *mask.Painter
	// Review is given every frame once it is encoded, in order, with its record. It may draw on the frame, which is released when
	// it returns, as the record is reused then. An error ends the video.
	Review func(*media.Frame, *telemetry.FrameRecord) error
	// Observe is told of every frame once it is encoded, in order. It may hold the frames back for as long as it takes.
	// The record is reused when it returns.
	Observe func(*telemetry.FrameRecord)
	// Resume goes on in the middle of a video; nil begins with its first frame.
	Resume *Resume
}

// Resume says where a video goes on that was begun in another run.
type Resume struct {
	// First is the index of the first frame that is written. The source gives frames before it, too: people are followed through
	// them, across the seam.
	First int
	// Begin is the time of the video's first frame.
	Begin time.Duration
	// Before is told of the last frame before First what would be masked in it now. An error ends the video.
	Before func(*telemetry.FrameRecord) error
	// Done is what was counted up to First.
	Done Summary
}

// maxGap is 3 frames at 30 frames/s: in this time a person who walks across the picture moves by less than the width of a head.
const maxGap = 100 * time.Millisecond

// Summary counts what became of a video.
type Summary struct {
	// Frames is how many frames were written; Judged, on how many of them detection ran.
	Frames, Judged int
	// MaskedWhole is how many frames could not be judged and were masked whole.
	MaskedWhole int
	// Masks is the number of heads painted, over all frames; MaxPeople the most people in one frame.
	Masks, MaxPeople int
}

// Count adds a frame that was written.
func (s *Summary) Count(rec *telemetry.FrameRecord) {
	s.Frames++
	if rec.Judged {
		s.Judged++
	}
	if rec.WholeFrameMasked {
		s.MaskedWhole++
	}
	s.Masks += rec.Masks
	s.MaxPeople = max(s.MaxPeople, rec.People)
}

// item is a frame on its way.
type item struct {
	frame  *media.Frame
	cut    bool
	people []vision.Person
	faces  []vision.Face
	// judged is closed when people, faces, err and the record's judging times are set; nil for frames between judged ones.
	judged chan struct{}
	err    error
	record telemetry.FrameRecord
	result track.Result
}

// Run takes all frames from source to sink. It returns when the last frame is written, or with the first error of
// source or sink, or with the context's error; all its goroutines have ended by then.
//
// Run does not end the source's Next and the sink's Write: they have to return when the context ends. Every frame that it took
// is released when it returns.
func Run(ctx context.Context, source Source, sink Sink, opts Options) (Summary, error) {
	group, ctx := errgroup.WithContext(ctx)
	r := &run{opts: opts, ctx: ctx, toJudge: make(chan *item, opts.Workers), decoded: make(chan *item, opts.DetectEvery+opts.Workers),
		painted: make(chan *item, 1), held: map[*media.Frame]struct{}{}}
	if opts.Resume != nil {
		r.summary = opts.Resume.Done
	}
	group.Go(func() error { return r.decode(source) })
	for range opts.Workers {
		group.Go(r.judge)
	}
	group.Go(r.sequence)
	group.Go(func() error { return r.encode(sink) })
	err := group.Wait()
	for frame := range r.held {
		frame.Release()
	}
	return r.summary, err
}

type run struct {
	opts    Options
	ctx     context.Context
	toJudge chan *item
	decoded chan *item
	painted chan *item
	begin   time.Duration // the first frame's time, of the sequence stage
	summary Summary       // of the encode stage until Run returns

	mu   sync.Mutex
	held map[*media.Frame]struct{} // taken from the source, not yet released
}

func (r *run) hold(frame *media.Frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held[frame] = struct{}{}
}

func (r *run) release(frame *media.Frame) {
	r.mu.Lock()
	delete(r.held, frame)
	r.mu.Unlock()
	frame.Release()
}

// decode reads the frames and decides which ones are judged. It stays one frame behind the source, since the frame before
// a cut and the last frame are judged too.
func (r *run) decode(source Source) error {
	defer close(r.decoded)
	defer close(r.toJudge)
	cuts := track.NewCutDetector()
	plan := schedule{every: r.opts.DetectEvery}
	var held *item
	for {
		start := time.Now()
		frame, err := source.Next()
		if errors.Is(err, io.EOF) {
			if held == nil {
				return fmt.Errorf("%w: it has no frame", media.ErrNotVideo)
			}
			return r.dispatch(held, true)
		}
		if err != nil {
			return err
		}
		r.hold(frame)
		next := &item{frame: frame}
		next.record.Index, next.record.PTS = frame.Index, frame.Time
		next.record.Start = start
		next.record.Decode = vision.Interval{Start: start, End: time.Now()}
		next.cut = cuts.Cut(frame)
		if held != nil {
			if err := r.dispatch(held, plan.due(held, next.cut)); err != nil {
				return err
			}
		}
		held = next
	}
}

// schedule decides which frames are judged.
type schedule struct {
	every   int
	started bool
	last    time.Duration // presentation time of the last judged frame
}

func (s *schedule) due(it *item, beforeCut bool) bool {
	if s.started && !it.cut && !beforeCut && it.frame.Index%s.every != 0 && it.frame.Time-s.last < maxGap {
		return false
	}
	s.started, s.last = true, it.frame.Time
	return true
}

// dispatch passes a frame on, and to the judges if it is due.
func (r *run) dispatch(it *item, due bool) error {
	if due {
		it.judged = make(chan struct{})
		it.record.Judged = true
		if err := send(r.ctx, r.toJudge, it); err != nil {
			return err
		}
	}
	return send(r.ctx, r.decoded, it)
}

// judge finds the people and their poses in the frames given to it.
func (r *run) judge() error {
	for it := range r.toJudge {
		it.err = r.look(it)
		if r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		close(it.judged)
	}
	return nil
}

// look finds the people and faces and estimates the poses. A panic in a model's code costs the frame, which is then masked
// whole, and never the collector.
func (r *run) look(it *item) (err error) {
	rec := &it.record
	rec.FailedStage = telemetry.StageDetection
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: frame %d: %v", errPanic, it.frame.Index, p)
		}
		if err == nil {
			rec.FailedStage = ""
		}
	}()
	rec.Detection.Start = time.Now()
	found, err := r.detect(it)
	rec.Detection.End = time.Now()
	if err != nil {
		return err
	}
	rec.Detected = len(found)
	it.people = make([]vision.Person, len(found))
	for i, d := range found {
		it.people[i].Detection = d
	}
	if err := r.pose(it, found); err != nil {
		return err
	}
	rec.Found, rec.Faces = slices.Clone(it.people), it.faces // before the silhouettes, which are large
	return r.segment(it, found)
}

// pose estimates the poses of those found.
func (r *run) pose(it *item, found []vision.Detection) (err error) {
	if r.opts.PoseModel == nil {
		return nil
	}
	rec := &it.record
	rec.FailedStage = telemetry.StagePose
	rec.Pose.Start = rec.Detection.End
	var poses []vision.Pose
	poses, rec.PoseSteps, err = r.opts.PoseModel.Estimate(r.ctx, it.frame, found)
	rec.Pose.End = time.Now()
	if err != nil {
		return err
	}
	if len(poses) != len(found) {
		return fmt.Errorf("the pose model gave %d poses for %d people", len(poses), len(found))
	}
	rec.PosedPeople = len(poses)
	for i := range poses {
		it.people[i].Pose = &poses[i]
	}
	return nil
}

// segment finds the silhouettes of those found. Its time counts to the pose's: both tell how each of them stands.
func (r *run) segment(it *item, found []vision.Detection) error {
	if r.opts.Segmenter == nil {
		return nil
	}
	rec := &it.record
	rec.FailedStage = telemetry.StagePose
	silhouettes, steps, err := r.opts.Segmenter.Segment(r.ctx, it.frame, found)
	rec.PoseSteps.Add(steps)
	rec.Pose.End = time.Now()
	if err != nil {
		return err
	}
	if len(silhouettes) != len(found) {
		return fmt.Errorf("the segmentation model gave %d silhouettes for %d people", len(silhouettes), len(found))
	}
	for i := range silhouettes {
		it.people[i].Silhouette = &silhouettes[i]
	}
	return nil
}

// detect finds the people and the faces. What one detector finds is not all there is, so that one failing fails the frame.
func (r *run) detect(it *item) (people []vision.Detection, err error) {
	rec := &it.record
	people, rec.DetectionSteps, err = r.opts.Detector.Detect(r.ctx, it.frame)
	if err != nil || r.opts.Faces == nil {
		return people, err
	}
	var steps vision.Steps
	it.faces, steps, err = r.opts.Faces.DetectFaces(r.ctx, it.frame)
	rec.DetectionSteps.Add(steps)
	return people, err
}

// sequence gives the frames to the tracker in order and paints those that come out of its window.
func (r *run) sequence() error {
	defer close(r.painted)
	var tracker *track.Tracker
	var window []*item
	// pass takes what the tracker gave between start and now.
	pass := func(start time.Time, results []track.Result) error {
		computed := vision.Interval{Start: start, End: time.Now()}
		for _, result := range results {
			it := window[0]
			window = window[1:]
			it.result = result
			if !it.record.Judged {
				it.record.Detection = computed
			}
			r.settle(it)
			finish := r.paint
			if r.opts.Resume != nil && it.frame.Index < r.opts.Resume.First {
				finish = r.skip
			}
			if err := finish(it); err != nil {
				return err
			}
		}
		return nil
	}
	for it := range r.decoded {
		if it.judged != nil {
			select {
			case <-it.judged:
			case <-r.ctx.Done():
				return r.ctx.Err()
			}
		}
		if tracker == nil {
			tracker = track.New(r.trackOptions(it.frame))
			r.begin = it.frame.Time
			if r.opts.Resume != nil {
				r.begin = r.opts.Resume.Begin
			}
		}
		start := time.Now()
		it.record.Tracking.Start = start
		window = append(window, it)
		results := tracker.Push(observation(it))
		it.people = nil // silhouettes are large, and the window long
		if err := pass(start, results); err != nil {
			return err
		}
	}
	if r.ctx.Err() != nil {
		return r.ctx.Err() // decode gave up: what is in the window is not known to be complete
	}
	if tracker == nil {
		return nil
	}
	if err := pass(time.Now(), tracker.Flush()); err != nil {
		return err
	}
	if len(window) != 0 {
		return fmt.Errorf("%d frames did not come out of the look-ahead window", len(window))
	}
	return nil
}

// trackOptions bounds the window by the memory of this video's frames.
func (r *run) trackOptions(frame *media.Frame) track.Options {
	opts := r.opts.Track
	var size int64
	for _, plane := range frame.Planes {
		size += int64(len(plane.Data))
	}
	opts.MaxFrames = max(2*r.opts.DetectEvery+1, int(r.opts.FrameMemory/max(1, size)))
	if r.opts.Resume != nil {
		opts.ResumedAt = r.opts.Resume.First
	}
	return opts
}

func observation(it *item) track.Observation {
	return track.Observation{
		Index: it.frame.Index, Time: it.frame.Time, Analyzed: it.judged != nil && it.err == nil, Failed: it.err != nil, Cut: it.cut,
		People: it.people, Faces: it.faces, Width: it.frame.Width, Height: it.frame.Height,
	}
}

// settle records the tracker's result.
func (r *run) settle(it *item) {
	rec := &it.record
	rec.Tracking.End = time.Now()
	rec.People, rec.Masks, rec.WholeFrameMasked, rec.Err = it.result.People, len(it.result.Heads), it.result.WholeFrame, it.err
	rec.Heads = it.result.Heads
	countOrigins(rec, it.result.Heads)
}

// skip gives up a frame that was written in an earlier run.
func (r *run) skip(it *item) error {
	defer r.release(it.frame)
	if it.frame.Index == r.opts.Resume.First-1 {
		return r.opts.Resume.Before(&it.record)
	}
	return nil
}

// paint masks the frame by the tracker's result, whole if it cannot be masked otherwise.
func (r *run) paint(it *item) error {
	rec := &it.record
	rec.Visualization.Start = rec.Tracking.End
	if !rec.WholeFrameMasked {
		if err := r.opts.Painter.Paint(it.frame, mask.Masks{
			At: it.frame.Time - r.begin, Heads: it.result.Heads, Bodies: it.result.Bodies, Before: it.result.Before, After: it.result.After,
		}); err != nil {
			rec.WholeFrameMasked, rec.Err, rec.FailedStage = true, errors.Join(rec.Err, err), telemetry.StageVisualization
		}
	}
	rec.Reason = reason(rec.Err)
	if rec.WholeFrameMasked {
		if err := r.opts.Painter.PaintWhole(it.frame); err != nil {
			return fmt.Errorf("mask frame %d whole: %w", it.frame.Index, err)
		}
	}
	rec.Visualization.End = time.Now()
	return send(r.ctx, r.painted, it)
}

func countOrigins(rec *telemetry.FrameRecord, heads []mask.Head) {
	for _, head := range heads {
		switch head.Origin {
		case mask.OriginPose:
			rec.MasksByOrigin.Pose++
		case mask.OriginFace:
			rec.MasksByOrigin.Face++
		case mask.OriginBox:
			rec.MasksByOrigin.Box++
			rec.Uncertain++
		case mask.OriginInterpolated:
			rec.MasksByOrigin.Interpolated++
		case mask.OriginHeld:
			rec.MasksByOrigin.Held++
		}
	}
}

var errPanic = errors.New("panic")

// reason says in a word why a frame could not be judged.
func reason(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, inference.ErrTimeout):
		return "timeout"
	case errors.Is(err, inference.ErrOutOfMemory):
		return "out_of_memory"
	case errors.Is(err, vision.ErrNotFinite):
		return "not_finite"
	case errors.Is(err, errPanic):
		return "panic"
	default:
		return "inference"
	}
}

// encode writes the painted frames, gives their memory back and tells the observer.
func (r *run) encode(sink Sink) error {
	for it := range r.painted {
		rec := &it.record
		rec.Encode.Start = time.Now()
		if err := sink.Write(it.frame); err != nil {
			return err
		}
		rec.Encode.End = time.Now()
		rec.End = rec.Encode.End
		if r.opts.Review != nil {
			if err := r.opts.Review(it.frame, rec); err != nil {
				return err
			}
		}
		r.release(it.frame)
		r.summary.Count(rec)
		if r.opts.Observe != nil {
			r.opts.Observe(rec)
		}
	}
	return nil
}

func send(ctx context.Context, to chan<- *item, it *item) error {
	select {
	case to <- it:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
