// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/track"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// analyze searches the frame at its level. If a model's code panics, the frame is masked entirely, and the collector
// goes on.
func (r *run) analyze(it *item) {
	rec := &it.record
	if !rec.Analyzed && r.opts.Spans != nil {
		rec.DetectionInference, rec.PoseInference = r.opts.Spans()
	}
	if !rec.Analyzed {
		it.blurred = vision.Blurred(it.frame)
	}
	rec.Analyzed = true
	rec.FailedStage = record.StageDetection
	defer func() {
		if p := recover(); p != nil {
			it.err = fmt.Errorf("%w: frame %d: %v", errPanic, it.frame.Index, p)
		}
		it.seen = min(it.level, r.opts.highest())
		it.searched, it.regions = append(it.searched, it.regions...), nil
		rec.Look = it.look()
		if it.err == nil {
			rec.FailedStage = ""
		}
	}()
	for l := it.seen + 1; l <= min(it.level, r.opts.highest()) && it.err == nil; l++ {
		it.err = r.look(it, l)
	}
	if it.level < fullLook && it.err == nil {
		it.err = r.lookAtRegions(it)
	}
	if it.seen == unseen && it.err == nil {
		it.err = r.lookForOthers(it)
	}
	if it.err == nil && r.opts.surveys() {
		it.err = r.settleParts(it)
	}
}

// Search searches a single frame with every look in the options, and returns the heads that count without a track. A
// panic in a model's code is an error.
func Search(ctx context.Context, frame *media.Frame, opts Options) ([]mask.Head, error) {
	opts.Others = nil
	r := &run{opts: opts, ctx: ctx, workers: opts.pool()}
	select {
	case r.workers <- struct{}{}:
		defer func() { <-r.workers }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	it := &item{frame: frame, analysis: analysis{level: r.opts.highest()}}
	r.analyze(it)
	return it.heads, it.err
}

// look adds what a frame shows at a level that it was not searched at yet. Each detector sees what others miss, so if
// one fails, the frame fails.
func (r *run) look(it *item, l level) (err error) {
	var found []vision.Detection
	var people []vision.Person
	var faces []vision.Face
	switch l {
	case quickLook:
		found, faces, err = r.find(it, it.frame, r.opts.Quick)
	case fullLook:
		found, faces, err = r.find(it, it.frame, r.opts.Full)
	case turnedLook:
		if people, faces, err = r.findTurned(it); err == nil {
			r.settle(it, people)
		}
	}
	if err != nil {
		return err
	}
	unknown, err := r.add(it, append(people, persons(found)...), faces)
	switch l {
	case fullLook:
		it.hidden = append(it.hidden, it.hide(unknown)...)
	case turnedLook:
		it.turned = it.hide(unknown)
	}
	return err
}

func (r *run) lookAtRegions(it *item) error {
	for _, box := range it.regions {
		found, faces, err := r.findInRegion(it, box)
		if err != nil {
			return err
		}
		unknown, err := r.add(it, persons(found), faces)
		if err != nil {
			return err
		}
		it.hidden = append(it.hidden, it.hide(unknown)...)
	}
	return nil
}

// findInRegion finds people and faces in the part of the frame around a box.
func (r *run) findInRegion(it *item, box vision.Box) ([]vision.Detection, []vision.Face, error) {
	region := vision.RegionAround(it.frame, box, regionSide)
	people, faces, err := r.find(it, region.Frame(), r.opts.Region)
	return region.Detections(people), region.Faces(faces), err
}

// hide marks the people with these heads as not shown by a quick look, and returns the heads.
func (a *analysis) hide(heads []mask.Head) []mask.Head {
	for i := range a.people {
		a.people[i].Hidden = a.people[i].Hidden || slices.ContainsFunc(heads, func(h mask.Head) bool {
			return a.people[i].Box.Contains(h.X, h.Y)
		})
	}
	return heads
}

// regionSide is the minimum width and height of a searched part of a frame, in pixels. At this size, a detector sees
// the part at about its original scale.
const regionSide = 320

// add adds people and faces to the known ones, and returns the heads that were not known.
func (r *run) add(it *item, people []vision.Person, faces []vision.Face) (unknown []mask.Head, err error) {
	it.people = vision.Merge(it.people, people, r.opts.Overlap)
	it.faces = vision.MergeFaces(it.faces, faces)
	if err := r.estimatePoses(it, it.frame, it.people); err != nil {
		return nil, err
	}
	rec := &it.record
	rec.Detected = len(it.people)
	rec.Found, rec.Faces = slices.Clone(it.people), slices.Clone(it.faces) // before the silhouettes, which are large
	if err := r.segment(it); err != nil {
		return nil, err
	}
	known := it.heads
	it.heads = track.Heads(observation(it), r.opts.Track.Geometry)
	return track.Unknown(it.heads, known), nil
}

// find finds people and faces in the frame, or in a copy that is turned or shows a part of it.
func (r *run) find(
	it *item, frame *media.Frame, look Look,
) (people []vision.Detection, faces []vision.Face, err error) {
	rec := &it.record
	ctx := inference.WithSpan(r.ctx, rec.DetectionInference)
	detector := look.Detector
	if it.blurred && look.Blurred != nil {
		detector = look.Blurred
	}
	if detector != nil {
		err = it.timed(&rec.Detection, &rec.DetectionSteps, func() (steps vision.Steps, err error) {
			people, steps, err = detector.Detect(ctx, frame)
			return steps, err
		})
	}
	if err != nil || look.Faces == nil {
		return people, nil, err
	}
	err = it.timed(&rec.Detection, &rec.DetectionSteps, func() (steps vision.Steps, err error) {
		faces, steps, err = look.Faces.DetectFaces(ctx, frame)
		return steps, err
	})
	return people, faces, err
}

func persons(found []vision.Detection) []vision.Person {
	people := make([]vision.Person, len(found))
	for i, d := range found {
		people[i] = vision.Person{Detection: d, Pose: d.Pose}
	}
	return people
}

// estimatePoses runs the pose model on the people whose keypoints the detector did not return itself.
func (r *run) estimatePoses(it *item, frame *media.Frame, people []vision.Person) error {
	if r.opts.PoseModel == nil {
		return nil
	}
	var found []vision.Detection
	var missing []int
	for i, p := range people {
		if p.Pose == nil {
			found, missing = append(found, p.Detection), append(missing, i)
		}
	}
	rec := &it.record
	rec.FailedStage = record.StagePose
	var poses []vision.Pose
	err := it.timed(&rec.Pose, &rec.PoseSteps, func() (steps vision.Steps, err error) {
		poses, steps, err = r.opts.PoseModel.Estimate(inference.WithSpan(r.ctx, rec.PoseInference), frame, found)
		return steps, err
	})
	if err != nil {
		return err
	}
	if len(poses) != len(found) {
		return fmt.Errorf("the pose model returned %d poses for %d people", len(poses), len(found))
	}
	rec.PosedPeople += len(poses)
	for i, at := range missing {
		people[at].Pose = &poses[i]
	}
	rec.FailedStage = record.StageDetection
	return nil
}

// segment finds the silhouettes of the people who have none. Its time counts toward the pose stage: both describe a
// person's posture.
func (r *run) segment(it *item) error {
	if r.opts.Segmenter == nil {
		return nil
	}
	var found []vision.Detection
	var missing []int
	for i, p := range it.people {
		if p.Silhouette == nil {
			found, missing = append(found, p.Detection), append(missing, i)
		}
	}
	rec := &it.record
	rec.FailedStage = record.StagePose
	var silhouettes []vision.Silhouette
	err := it.timed(&rec.Pose, &rec.PoseSteps, func() (steps vision.Steps, err error) {
		silhouettes, steps, err = r.opts.Segmenter.Segment(inference.WithSpan(r.ctx, rec.PoseInference), it.frame, found)
		return steps, err
	})
	if err != nil {
		return err
	}
	if len(silhouettes) != len(found) {
		return fmt.Errorf("the segmentation model returned %d silhouettes for %d people", len(silhouettes), len(found))
	}
	for i, at := range missing {
		it.people[at].Silhouette = &silhouettes[i]
	}
	rec.FailedStage = record.StageDetection
	return nil
}

// timed runs a part of a stage and adds its time. If a frame is searched more than once, its stages are reported as if
// each had run once, one after the other, and the last had just ended.
func (it *item) timed(stage *vision.Interval, steps *vision.Steps, do func() (vision.Steps, error)) error {
	start := time.Now()
	took, err := do()
	end := time.Now()
	steps.Add(took)
	rec := &it.record
	busy := end.Sub(start)
	detection, pose := rec.Detection.End.Sub(rec.Detection.Start), rec.Pose.End.Sub(rec.Pose.Start)
	if stage == &rec.Pose {
		pose += busy
	} else {
		detection += busy
	}
	rec.Detection = vision.Interval{Start: end.Add(-pose - detection), End: end.Add(-pose)}
	if pose > 0 {
		rec.Pose = vision.Interval{Start: end.Add(-pose), End: end}
	}
	return err
}

var errPanic = errors.New("panic")

// reason returns in one word why a frame could not be analyzed, or "" for nil.
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
