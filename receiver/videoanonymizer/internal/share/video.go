// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// plan divides a video into units.
func (s *session) plan(ctx context.Context, t task) error {
	v := t.video
	v.rec.restart()
	v.rec.Claim = t.video.rec.Claim
	v.rec.Made, v.rec.Since = s.opts.Made, s.opts.wall()
	s.claim(&v.rec.holding)
	s.opts.reached("plan")
	if err := write(ctx, s, &v, &v.rec.holding); err != nil {
		return err
	}
	division, err := s.opts.Worker.Plan(ctx, v.rec)
	if err == nil {
		err = s.divide(ctx, &v, division)
	}
	return s.conclude(ctx, &v, err, VideoFound)
}

// divide makes division the plan of the video.
func (s *session) divide(ctx context.Context, v *entry[Video], division Plan) error {
	if err := division.check(); err != nil {
		return err
	}
	v.rec.Shared = division.Shared
	units := make([]Unit, len(division.Units))
	for i, spec := range division.Units {
		units[i] = Unit{Index: i, Spec: spec, State: UnitOpen, Since: s.opts.wall()}
	}
	return s.addUnits(ctx, v, units)
}

func (p Plan) check() error {
	if len(p.Units) == 0 {
		return Permanent(errors.New("a plan without units"))
	}
	err := checkJSON(p.Shared)
	for _, unit := range p.Units {
		err = errors.Join(err, checkJSON(unit))
	}
	return err
}

// addUnits writes units under the epoch of the claim, so that the units of a late worker belong to no plan.
func (s *session) addUnits(ctx context.Context, v *entry[Video], units []Unit) error {
	p := plan{videoID(v.rec.Path), v.rec.epochOf(v.rev)}
	for _, unit := range units {
		e := entry[Unit]{key: unitKey(p.video, p.epoch, unit.Index), rec: unit}
		if err := write(ctx, s, &e, &e.rec.holding); err != nil {
			return err
		}
	}
	v.rec.State, v.rec.Plan, v.rec.Units, v.rec.Outputs = VideoPlanned, p.epoch, len(units), nil
	return nil
}

// conclude ends a claim of a video. If err is nil, the record already says what became of the video. If not, the video
// gets the state given by otherwise, to be tried again, or fails.
func (s *session) conclude(ctx context.Context, v *entry[Video], err error, otherwise VideoState) error {
	if errors.Is(err, errFenced) || errors.Is(context.Cause(ctx), errFenced) {
		return errFenced
	}
	if cause := context.Cause(ctx); cause != nil && err == nil && v.rec.State != VideoDone { // it was reported
		err = cause
	}
	v.rec.release()
	v.rec.Since = s.opts.wall()
	later := new(Later)
	isLater := errors.As(err, &later)
	if isLater {
		err = nil
	}
	ctx, cancel, again := s.settle(ctx, err, &v.rec.holding)
	defer cancel()
	switch {
	case isLater:
		v.rec.Wait, v.rec.Deferred = later.Wait, v.rec.Deferred+1
	case err == nil:
		v.rec.Attempts, v.rec.Error, v.rec.Reason = 0, "", ""
	case again || otherwise == VideoPublishing: // never given up: its files may have their final names
		v.rec.State = otherwise
		if otherwise != VideoPublishing {
			v.rec.Deferred = 0
		}
	default:
		v.rec.State, v.rec.Error = VideoFailed, err.Error()
	}
	if err := write(ctx, s, v, &v.rec.holding); err != nil {
		return err
	}
	if v.rec.State == VideoDone {
		s.opts.reached(committed(s, v.key))
	}
	if v.rec.State == VideoFailed {
		s.opts.Worker.Failed(ctx, v.rec)
	}
	if v.rec.State.final() {
		s.clean(ctx, &v.rec)
	}
	if isLater {
		s.thin(ctx, &v.rec)
	}
	return err
}

// fail gives up a video.
func (s *session) fail(ctx context.Context, t task) error {
	v := t.video
	v.rec.release()
	v.rec.State, v.rec.Since, v.rec.Error, v.rec.Reason = VideoFailed, s.opts.wall(), t.reason, t.word
	if err := write(ctx, s, &v, &v.rec.holding); err != nil {
		return err
	}
	s.opts.Worker.Failed(ctx, v.rec)
	s.clean(ctx, &v.rec)
	return nil
}

// join makes the outputs of a video whose units are done, or continues publishing them.
func (s *session) join(ctx context.Context, t task) error {
	v := t.video
	if t.kind == taskJoin {
		v.rec.State = VideoJoining
	}
	v.rec.Since = s.opts.wall()
	s.claim(&v.rec.holding)
	s.opts.reached("join")
	if err := write(ctx, s, &v, &v.rec.holding); err != nil {
		return err
	}
	epoch := s.epoch(&v.rec.holding, v.rev)
	if t.kind == taskJoin {
		if err := s.makeOutputs(ctx, &v, epoch); err != nil {
			defer s.discardOutputs(ctx, &v, epoch)
			if again, ok := asRedo(err); ok {
				return s.redo(ctx, &v, again)
			}
			if errors.Is(err, errUnitsLost) {
				return s.conclude(ctx, &v, err, VideoFound)
			}
			return s.conclude(ctx, &v, err, VideoPlanned)
		}
		s.opts.reached("publish")
		v.rec.State, v.rec.Since = VideoPublishing, s.opts.wall()
		if err := write(ctx, s, &v, &v.rec.holding); err != nil {
			s.discardOutputs(ctx, &v, epoch)
			return err
		}
	}
	err := s.publish(ctx, &v, epoch)
	otherwise := VideoPublishing
	if errors.Is(err, errTaken) || errors.Is(err, errOutputLost) {
		otherwise = VideoPlanned
	}
	if errors.Is(err, errTaken) { // the next join takes another name
		err = Passing(err)
	}
	return s.conclude(ctx, &v, err, otherwise)
}

// makeOutputs lets the worker join the units, and records the outputs.
func (s *session) makeOutputs(ctx context.Context, v *entry[Video], epoch string) error {
	j := &JoinTask{Video: v.rec, Source: s.tree.abs(v.rec.Path), folder: s.tree.work(&v.rec), epoch: epoch}
	if err := makeFolder(j.folder); err != nil {
		return err
	}
	lost := &Redo{Units: map[int]json.RawMessage{}}
	units, err := s.unitsOf(&v.rec)
	if err != nil {
		return err
	}
	for index, unit := range units {
		done := JoinUnit{Spec: unit.Spec, Edges: unit.Edges}
		for _, segment := range unit.Sealed {
			paths, err := check(ctx, j.folder, segment)
			if err != nil && !unusable(err) {
				return err
			}
			if err != nil {
				lost.Units[index], lost.Cause = unit.Spec, err
			}
			done.Segments = append(done.Segments, SealedSegment{paths, segment.Note})
		}
		j.Units = append(j.Units, done)
	}
	if len(lost.Units) > 0 {
		return lost
	}
	files, err := s.opts.Worker.Join(ctx, j)
	if err == nil {
		err = checkJSON(j.Result)
	}
	if err != nil {
		return err
	}
	v.rec.Result = j.Result
	return s.describeOutputs(ctx, &v.rec, files)
}

func (s *session) describeOutputs(ctx context.Context, v *Video, files []JoinedFile) error {
	if len(files) == 0 {
		return Permanent(errors.New("a join without outputs"))
	}
	v.Outputs = nil
	for _, f := range files {
		temp, err := s.tree.rel(f.Temp)
		if err != nil {
			return Permanent(err)
		}
		name, err := s.tree.rel(f.Name)
		if err != nil {
			return Permanent(err)
		}
		size, sum, err := describe(ctx, f.Temp)
		if err != nil {
			return err
		}
		v.Outputs = append(v.Outputs, Output{name, temp, size, sum})
	}
	v.Published = append(v.Published[:len(v.Published):len(v.Published)], v.Outputs...)
	return durable.SyncPath(s.tree.work(v))
}

// unitsOf returns the units of a video, in order. It fails with errUnitsLost unless all are done.
func (s *session) unitsOf(v *Video) ([]Unit, error) {
	s.view.mu.Lock()
	defer s.view.mu.Unlock()
	known := s.view.units[plan{videoID(v.Path), v.Plan}]
	units := make([]Unit, v.Units)
	for index := range units {
		u, ok := known[index]
		if !ok || u.rec.State != UnitDone {
			return nil, fmt.Errorf("unit %d: %w", index, errUnitsLost)
		}
		units[index] = u.rec
	}
	return units, nil
}

// errUnitsLost means that a video to be joined lacks units.
var errUnitsLost = errors.New("the record of a unit that was done is lost")

func asRedo(err error) (again *Redo, ok bool) {
	return again, errors.As(err, &again) && !isPermanent(err)
}

// mostRedone is how often the units of a video may be redone, at least, before it fails: because a unit does not fit,
// then in one piece, both again because nobody was found, and after files were lost.
const mostRedone = 8

// redo plans a video again, with the units that must be redone. The others stay as they are.
func (s *session) redo(ctx context.Context, v *entry[Video], again *Redo) error {
	if !again.Free {
		v.rec.Redone++
	}
	var err error
	switch {
	case v.rec.Redone >= max(mostRedone, s.opts.Attempts):
		err = Permanent(again)
	case again.Plan != nil:
		s.counters.redone.Add(uint64(len(again.Plan.Units)))
		err = s.divide(ctx, v, *again.Plan)
	default:
		s.counters.redone.Add(uint64(len(again.Units)))
		err = s.redoUnits(ctx, v, again)
	}
	if err != nil {
		return s.conclude(ctx, v, err, VideoPlanned)
	}
	v.rec.release()
	v.rec.Error = again.Error()
	return write(ctx, s, v, &v.rec.holding)
}

func (s *session) redoUnits(ctx context.Context, v *entry[Video], again *Redo) error {
	units, err := s.unitsOf(&v.rec)
	for index, spec := range again.Units {
		if index < 0 || index >= len(units) {
			err = errors.Join(err, Permanent(fmt.Errorf("a video of %d units has none with index %d", len(units), index)))
			continue
		}
		err = errors.Join(err, checkJSON(spec))
		units[index] = Unit{Index: index, Spec: spec, State: UnitOpen, Since: s.opts.wall()}
	}
	if err != nil {
		return err
	}
	return s.addUnits(ctx, v, units)
}

// discardOutputs removes the outputs of a claim, unless the record names them.
func (s *session) discardOutputs(ctx context.Context, v *entry[Video], epoch string) {
	text, _, err := s.store.get(context.WithoutCancel(ctx), v.key)
	if err != nil {
		return // collected once the video is done
	}
	var there Video
	if err := json.Unmarshal(text, &there); err != nil {
		return
	}
	keep := map[string]bool{}
	for _, o := range there.Outputs {
		keep[filepath.Base(o.Temp)] = true
	}
	removeOwn(s.tree.work(&v.rec), "j."+epoch+".", keep)
}

var (
	// errTaken means that another file has the final name.
	errTaken = errors.New("the output's name is taken by another file")
	// errOutputLost means that a file that was about to be published is missing.
	errOutputLost = errors.New("the output was lost before it was published")
)

// publish gives the outputs their final names. Before that, it writes their record to the share, so that even without
// NATS it is known whose files they are.
func (s *session) publish(ctx context.Context, v *entry[Video], epoch string) error {
	if v.rec.Deferred > 0 { // they had their final names: someone moved or changed what is missing
		err := s.isOurs(ctx, &v.rec, v.rec.Outputs[len(v.rec.Outputs)-1], errOutputLost)
		if (errors.Is(err, errOutputLost) || errors.Is(err, errTaken)) && s.tree.sees(s.me) == nil {
			s.logger.Warn("an output was moved or changed before its source could be moved or deleted: the source is kept",
				zap.String("video", s.tree.abs(v.rec.Path)), zap.Error(err))
			v.rec.State, v.rec.Deferred = VideoDone, 0
			return nil
		}
	}
	if err := makeFolder(s.tree.work(&v.rec)); err != nil {
		return err
	}
	if err := s.tree.writeAhead(s.store.era, v, epoch); err != nil {
		return err
	}
	if err := s.placeAll(ctx, &v.rec); err != nil {
		return err
	}
	s.opts.reached("published")
	if err := write(ctx, s, v, &v.rec.holding); err != nil { // a late worker gets no further
		return err
	}
	if err := s.opts.Worker.Published(ctx, v.rec); err != nil {
		return err
	}
	v.rec.State = VideoDone
	return nil
}

// placeAll gives the outputs their final names in order, so that all have theirs if the last one does. If one cannot
// get its name, no other keeps its own.
func (s *session) placeAll(ctx context.Context, v *Video) error {
	last := v.Outputs[len(v.Outputs)-1]
	if s.isOurs(ctx, v, last, errOutputLost) == nil {
		return nil
	}
	for i, o := range v.Outputs {
		err := s.place(ctx, v, o)
		if errors.Is(err, errTaken) || errors.Is(err, errOutputLost) {
			for _, placed := range v.Outputs[:i] {
				if s.isOurs(ctx, v, placed, errOutputLost) == nil {
					err = errors.Join(err, durable.RemoveIfThere(s.tree.abs(placed.Name)))
				}
			}
		}
		if err != nil {
			return fmt.Errorf("publish %s: %w", o.Name, err)
		}
	}
	return nil
}

// place gives an output its final name, or makes sure that it already has it.
func (s *session) place(ctx context.Context, v *Video, o Output) error {
	if !fs.ValidPath(o.Name) || !fs.ValidPath(o.Temp) { // a record must not name files elsewhere
		return fmt.Errorf("%w: %q or %q is not a path below root", errOutputLost, o.Name, o.Temp)
	}
	temp, name := s.tree.abs(o.Temp), s.tree.abs(o.Name)
	err := verify(ctx, temp, o.Size, o.SHA256)
	if err == nil {
		s.opts.reached("rename")
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		err = durable.LinkNoReplace(temp, name)
	}
	switch {
	case err == nil:
		s.opts.reached("renamed " + o.Name)
		s.counters.published.Add(1)
		return durable.SyncPath(filepath.Dir(name))
	case errors.Is(err, fs.ErrExist):
		return s.isOurs(ctx, v, o, errTaken)
	case unusable(err):
		return s.isOurs(ctx, v, o, errOutputLost)
	}
	return err
}

// isOurs fails with the error otherwise unless the file with the final name was published for this video.
func (s *session) isOurs(ctx context.Context, v *Video, o Output, otherwise error) error {
	name := s.tree.abs(o.Name)
	f, err := durable.Open(name, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return otherwise
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errTaken, err)
	}
	defer f.Close()
	_, sum, err := digest(ctx, f)
	if err != nil {
		return err
	}
	if !v.knows(o.Name, sum) {
		return otherwise
	}
	return nil
}

// thin removes what a video no longer needs once its outputs have their final names, except the record that says whose
// they are: the source may wait for a long time.
func (s *session) thin(ctx context.Context, v *Video) {
	entries, err := os.ReadDir(s.tree.work(v))
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), writeAheadSuffix) {
			err = errors.Join(err, os.Remove(filepath.Join(s.tree.work(v), e.Name())))
		}
	}
	err = errors.Join(err, s.store.purge(ctx, plan{videoID(v.Path), v.Plan}.keys()))
	if err != nil {
		s.logger.Debug("segments of a video are removed once it is done", zap.String("video", s.tree.abs(v.Path)),
			zap.Error(err))
	}
}

// clean removes what a final video no longer needs. The coordinator collects what clean leaves behind.
func (s *session) clean(ctx context.Context, v *Video) {
	s.opts.reached("clean")
	err := os.RemoveAll(s.tree.work(v))
	if v.Plan > 0 {
		err = errors.Join(err, s.store.purge(ctx, plan{videoID(v.Path), v.Plan}.keys()))
	}
	if err != nil {
		s.logger.Debug("leftovers of a video are collected later", zap.String("video", s.tree.abs(v.Path)), zap.Error(err))
	}
}
