// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// detect analyzes the frames that are due.
func (r *run) detect() error {
	for it := range r.due {
		it.err = r.analyze(it)
		if r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		close(it.analyzed)
	}
	return nil
}

// analyze finds people and faces and estimates poses. A panic in a model's code costs the frame, which is then masked
// whole, and never the collector.
func (r *run) analyze(it *item) (err error) {
	rec := &it.record
	rec.FailedStage = record.StageDetection
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: frame %d: %v", errPanic, it.frame.Index, p)
		}
		if err == nil {
			rec.FailedStage = ""
		}
	}()
	rec.Detection.Start = time.Now()
	found, err := r.findPeople(it)
	rec.Detection.End = time.Now()
	if err != nil {
		return err
	}
	rec.Detected = len(found)
	it.people = make([]vision.Person, len(found))
	for i, d := range found {
		it.people[i].Detection = d
	}
	if err := r.estimatePoses(it, found); err != nil {
		return err
	}
	rec.Found, rec.Faces = slices.Clone(it.people), it.faces // before the silhouettes, which are large
	return r.segment(it, found)
}

// findPeople finds people and faces. Each detector sees what others miss, so if one fails, the frame fails.
func (r *run) findPeople(it *item) (people []vision.Detection, err error) {
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

// estimatePoses asks the pose model about the people whose keypoints the detector did not find itself.
func (r *run) estimatePoses(it *item, found []vision.Detection) (err error) {
	var without []int
	var people []vision.Detection
	for i, d := range found {
		if it.people[i].Pose = d.Pose; d.Pose == nil {
			without, people = append(without, i), append(people, d)
		}
	}
	if r.opts.PoseModel == nil {
		return nil
	}
	rec := &it.record
	rec.FailedStage = record.StagePose
	rec.Pose.Start = rec.Detection.End
	var poses []vision.Pose
	poses, rec.PoseSteps, err = r.opts.PoseModel.Estimate(r.ctx, it.frame, people)
	rec.Pose.End = time.Now()
	if err != nil {
		return err
	}
	if len(poses) != len(people) {
		return fmt.Errorf("the pose model returned %d poses for %d people", len(poses), len(people))
	}
	rec.PosedPeople = len(poses)
	for i := range poses {
		it.people[without[i]].Pose = &poses[i]
	}
	return nil
}

// segment finds people's silhouettes. Its time counts toward the pose stage: both describe how a person is positioned.
func (r *run) segment(it *item, found []vision.Detection) error {
	if r.opts.Segmenter == nil {
		return nil
	}
	rec := &it.record
	rec.FailedStage = record.StagePose
	silhouettes, steps, err := r.opts.Segmenter.Segment(r.ctx, it.frame, found)
	rec.PoseSteps.Add(steps)
	rec.Pose.End = time.Now()
	if err != nil {
		return err
	}
	if len(silhouettes) != len(found) {
		return fmt.Errorf("the segmentation model returned %d silhouettes for %d people", len(silhouettes), len(found))
	}
	for i := range silhouettes {
		it.people[i].Silhouette = &silhouettes[i]
	}
	return nil
}

var errPanic = errors.New("panic")

// reason says in one word why a frame could not be analyzed; empty for nil.
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
