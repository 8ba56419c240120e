// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Shared does the work that a share hands out: it is the share's Worker and its Source. A video that is not divided is
// one unit, whose frames are known once it is done. A picture is processed when it is joined.
type Shared struct {
	runner *Runner
	finder *watch.Finder
	root   string // of the share, without symbolic links

	mu        sync.Mutex
	divisions []knownDivision // of the most recently used videos
}

// NewShared returns the Worker and Source of a share with this root, which has no symbolic links. The runner's
// configuration comes from config.Config.Shared.
func NewShared(runner *Runner, finder *watch.Finder, root string) *Shared {
	return &Shared{runner: runner, finder: finder, root: root}
}

// Made identifies what the program makes of all videos, whatever their profiles, except for what servers serve: that is
// known only while they answer, and is compared when units are joined.
func (s *Shared) Made() (string, error) {
	var all []string
	for _, cfg := range append(s.runner.Config.Profiled(), s.runner.Config) {
		as := *s.runner
		as.Config = cfg
		if p, ok := s.runner.Models.profiles[cfg.Profile()]; ok {
			as.Models = s.runner.Models.with(p)
		}
		models := as.Models.identify()
		for i := range models {
			models[i].Served = nil
		}
		made, err := as.madeBy(models)
		if err != nil {
			return "", err
		}
		all = append(all, made)
	}
	return digestJSON(struct {
		All      []string
		Disposal disposal
	}{all, s.disposal()})
}

// disposal says where outputs go, and what becomes of sources. Machines that differ in that do not work together.
type disposal struct {
	OnSuccess watch.OnSuccess
	OnSalvage config.OnSalvage
	Outputs   string
	MoveTo    string
}

func (s *Shared) disposal() disposal {
	o := &s.runner.Config.Output
	return disposal{o.OnSuccess, o.OnSalvage, s.below(o.Directory), s.below(o.MoveTo)}
}

// below returns a folder relative to the root, without symbolic links; empty for none.
func (s *Shared) below(folder string) string {
	if folder == "" {
		return ""
	}
	if resolved, err := filepath.EvalSymlinks(folder); err == nil {
		folder = resolved
	}
	if rel, err := filepath.Rel(s.root, folder); err == nil {
		return rel
	}
	return folder
}

// AtOnce returns how many units, pictures, or joins of videos a machine with the given number of cores processes at
// once.
func (s *Shared) AtOnce(cores int) int {
	return s.runner.Config.MaxConcurrentVideos * unitsOf(s.runner.Config, cores)
}

// Scan implements share.Source.
func (s *Shared) Scan(context.Context) (found []share.Found, err error) {
	for _, c := range s.finder.Find() {
		path, err := filepath.Rel(s.root, c.Path)
		if err != nil || !filepath.IsLocal(path) {
			return nil, fmt.Errorf("%s is not below share::root, %s", c.Path, s.root)
		}
		found = append(found, share.Found{
			Path: filepath.ToSlash(path), Version: share.Version{Size: c.Size, ModTime: c.ModTime, Digest: c.Digest},
			Trace: telemetry.NewTraceParent(),
		})
	}
	return found, nil
}

// sharedPlan is what the units of a video and their join have in common.
type sharedPlan struct {
	// Times is the digest of the PTS of all frames; empty for a video that is one unit.
	Times string `json:"times,omitempty"`
	// Second is why the video is processed again with recall: thorough; nil in the first pass.
	Second *report.SecondPass `json:"second_pass,omitempty"`
}

// sharedEdges is what a unit reports in addition to its checkpoint.
type sharedEdges struct {
	// Undivided is why the video must be processed in one piece; empty if it need not be.
	Undivided string `json:"undivided,omitempty"`
}

// sharedResult is what the join reports about the outputs.
type sharedResult struct {
	About   telemetry.Video `json:"about"`
	Output  string          `json:"output"`
	Size    int64           `json:"size"`
	Summary record.Summary  `json:"summary"`
	Repairs media.Repairs   `json:"repairs"`
	Damage  string          `json:"damage,omitempty"`
	Second  string          `json:"second_pass,omitempty"`
	// Keep leaves the source where it is.
	Keep bool `json:"keep,omitempty"`
}

// sharedVideo is a video that one task works on.
type sharedVideo struct {
	*video
	of     share.Video
	shares *Shared
	job    *sharedJob
	plan   sharedPlan
	unit   *unitState // that the task is about; nil for the whole video
	info   media.Info // of a video that was probed
}

// sharedJob is the job of a video of a share.
type sharedJob struct {
	watch.Complete
	temp       string
	keep       bool
	companions []watch.Companion
}

// Resumable returns false: the share keeps what was sealed.
func (j *sharedJob) Resumable() bool { return false }

// Restart does nothing: there is nothing to remove.
func (j *sharedJob) Restart() error { return nil }

// RecordProgress does nothing: the share knows what is sealed.
func (j *sharedJob) RecordProgress(int64) error { return nil }

// TempFor implements job.
func (j *sharedJob) TempFor(suffix string) string {
	return strings.TrimSuffix(j.temp, filepath.Ext(j.temp)) + suffix
}

// KeepSource leaves the source where it is.
func (j *sharedJob) KeepSource() { j.keep = true }

// Publish records the companions: the share publishes them.
func (j *sharedJob) Publish(companions ...watch.Companion) error {
	j.companions = companions
	return nil
}

// begin prepares a task of a video. It fails if the source has changed. temp returns a path for a file of the task,
// given a suffix.
func (s *Shared) begin(of share.Video, temp func(suffix string) string) (*sharedVideo, error) {
	source, err := s.sourceOf(of)
	if err != nil {
		return nil, err
	}
	if !s.runner.Models.Available() {
		return nil, fmt.Errorf("%w: none is available", inference.ErrUnavailable)
	}
	job := &sharedJob{Complete: source}
	if err := job.Unchanged(); err != nil {
		return nil, err
	}
	output, err := s.finder.OutputName(source.Rel)
	if err != nil {
		return nil, err
	}
	r, err := s.runner.For(source.Path, source.Rel)
	if err != nil {
		return nil, err
	}
	if temp != nil {
		job.temp = temp(filepath.Ext(output))
	}
	v := &sharedVideo{of: of, shares: s, job: job}
	v.video = newVideo(r, job, file{
		Path: source.Path, Shared: of.Path, Output: output, Temp: job.temp, Size: job.Size, ModTime: job.ModTime,
		Attempt: of.Attempts + 1,
	})
	v.trace, v.safe, v.answers = of.Trace, map[int]int64{}, r.Models.Answers()
	v.patient = len(of.Shared) > 0 || of.Attempts < patience
	if len(of.Shared) > 0 {
		if err := json.Unmarshal(of.Shared, &v.plan); err != nil {
			return nil, share.Permanent(err)
		}
	}
	return v, nil
}

// patience is how many attempts at a plan may fail by stalling before the video counts as one unit.
const patience = 2

// sourceOf returns the source as it was when it was found.
func (s *Shared) sourceOf(of share.Video) (watch.Complete, error) {
	c := watch.Complete{
		Path: filepath.Join(s.root, filepath.FromSlash(of.Path)), Size: of.Version.Size, ModTime: of.Version.ModTime,
		Digest: of.Version.Digest,
	}
	var ok bool
	if c.Rel, ok = s.finder.Rel(c.Path); !ok {
		return c, fmt.Errorf("%s: this machine's watch::include leaves it out: use the same patterns on all machines", c.Path)
	}
	return c, nil
}

// open reads the headers of the source, which stays open until it is released, and starts the telemetry.
func (v *sharedVideo) open(ctx context.Context) (release func(), err error) {
	info, err := v.probe(ctx, v.file.Path)
	about := v.describe(info)
	if v.unit != nil && err == nil { // otherwise the time base is unknown
		about.Duration = info.TimeOf(v.unit.To - v.unit.From)
	}
	if v.job.temp == "" { // the join chooses the name
		about.Output = ""
	}
	v.start(ctx, about)
	if err != nil {
		return nil, err
	}
	if v.info, release, err = info.Hold(); err != nil {
		return nil, err
	}
	if v.plan.Second != nil {
		v.passAgain(v.plan.Second)
	}
	return release, nil
}

// Plan implements share.Worker.
func (s *Shared) Plan(ctx context.Context, of share.Video) (plan share.Plan, err error) {
	began := time.Now()
	v, err := s.begin(of, nil)
	if err != nil {
		return plan, s.verdict(ctx, err)
	}
	if v.kind == "picture" {
		return share.Plan{Units: []json.RawMessage{nil}}, nil
	}
	release, err := v.open(ctx)
	if err == nil {
		defer release()
		v.span.Started()
		plan, err = v.planUnits(ctx)
	}
	v.span.Step(telemetry.SpanPlan, began, err)
	v.span.Released()
	return plan, s.verdict(ctx, err)
}

func (v *sharedVideo) planUnits(ctx context.Context) (plan share.Plan, err error) {
	if _, err := media.NewPlan(v.info, writeOptions(v.Config, v.file, 1)); err != nil {
		return plan, err
	}
	if v.division, err = v.divide(ctx, v.info); err != nil {
		return plan, err
	}
	v.logger.Info("video started", zap.Int64("frames_estimated", v.info.EstimatedFrames),
		zap.Int("units", max(1, len(v.division.units))), zap.String("profile", v.Config.Profile()))
	if streams := streamTexts(v.info); len(streams) > 0 {
		v.logger.Info("video has several video streams, of which one is used", zap.Strings("streams", streams))
	}
	v.shares.remember(v.of, v.division)
	return v.divided(v.division, nil)
}

// divided returns the plan for a division.
func (v *sharedVideo) divided(d division, second *report.SecondPass) (plan share.Plan, err error) {
	common := sharedPlan{Second: second}
	if len(d.units) < 2 {
		d.units = d.units[:0]
		plan.Units = []json.RawMessage{nil}
	} else {
		common.Times = digestTimes(d.times)
	}
	for _, u := range d.units {
		spec, err := json.Marshal(unitState{Unit: u, Attempt: 1})
		if err != nil {
			return plan, err
		}
		plan.Units = append(plan.Units, spec)
	}
	plan.Shared, err = json.Marshal(common)
	return plan, err
}

func digestTimes(times []int64) string {
	hash := sha256.New()
	_ = binary.Write(hash, binary.LittleEndian, times) // cannot fail
	return hex.EncodeToString(hash.Sum(nil))
}

// knownDivision is the division of a version of a video.
type knownDivision struct {
	version  string
	division division
}

func versionOf(of share.Video) string {
	return fmt.Sprint(of.Path, of.Version.Size, of.Version.ModTime.UnixNano(), of.Version.Digest)
}

// mostDivisions is how many divisions are remembered: each has the times of a video's frames.
const mostDivisions = 4

// remember stores a division that has units, because finding them takes long.
func (s *Shared) remember(of share.Video, d division) {
	if len(d.units) < 2 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(versionOf(of))
	s.divisions = append(s.divisions, knownDivision{versionOf(of), d})
	s.divisions = s.divisions[max(0, len(s.divisions)-mostDivisions):]
}

func (s *Shared) forget(version string) {
	s.divisions = slices.DeleteFunc(s.divisions, func(d knownDivision) bool { return d.version == version })
}

func (s *Shared) remembered(of share.Video) (division, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.divisions {
		if known.version == versionOf(of) {
			s.forget(known.version)
			s.divisions = append(s.divisions, known) // now the most recently used
			return known.division, true
		}
	}
	return division{}, false
}

// divideAgain finds the division that the plan is based on. It fails with errUndivided if it finds another one.
func (v *sharedVideo) divideAgain(ctx context.Context) (err error) {
	if v.plan.Times == "" {
		v.division = division{undivided: true}
		return nil
	}
	var known bool
	if v.division, known = v.shares.remembered(v.of); !known {
		v.division, err = v.divide(ctx, v.info)
		if errors.Is(err, media.ErrStalled) { // it did not on the machine that planned the video
			return share.Passing(err)
		}
		if err != nil {
			return err
		}
		v.shares.remember(v.of, v.division)
	}
	if digestTimes(v.division.times) != v.plan.Times {
		return errPlanned
	}
	if v.unit != nil {
		n := v.unit.Number
		if n >= len(v.division.units) || v.division.units[n] != v.unit.Unit {
			return errPlanned
		}
	}
	return nil
}

// errPlanned means that this machine does not see the frames that the plan is based on.
var errPlanned = fmt.Errorf("%w: this machine finds other frames in it than the one that planned it", errUndivided)

// Do implements share.Worker.
func (s *Shared) Do(ctx context.Context, t *share.UnitTask) (json.RawMessage, error) {
	v, err := s.begin(t.Video, t.Path)
	if err != nil {
		return nil, s.verdict(ctx, err)
	}
	if v.kind == "picture" {
		return nil, nil
	}
	if v.plan.Times != "" {
		v.unit = new(unitState)
		if err := json.Unmarshal(t.Spec, v.unit); err != nil {
			return nil, share.Permanent(err)
		}
	}
	release, err := v.open(ctx)
	defer v.span.Released()
	if err != nil {
		return nil, s.verdict(ctx, err)
	}
	defer release()
	err = v.do(ctx, t)
	if errors.Is(err, media.ErrResume) && len(t.Sealed) > 0 {
		v.logger.Warn("a unit of the video restarts from its beginning", zap.Int("unit", t.Index),
			zap.NamedError("cause", err))
		if err = t.Restart(ctx); err == nil {
			v.job.temp = t.Path(filepath.Ext(v.file.Output))
			v.file.Temp = v.job.temp
			err = v.do(ctx, t)
		}
	}
	var edges sharedEdges
	if errors.Is(err, errUndivided) && v.unit != nil { // the join decides for the whole video
		edges.Undivided, err = err.Error(), nil
	}
	if err != nil {
		return nil, s.verdict(ctx, err)
	}
	return json.Marshal(edges)
}

// do processes a unit, or what is left of it.
func (v *sharedVideo) do(ctx context.Context, t *share.UnitTask) error {
	if err := v.divideAgain(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx) // ends the tools
	defer cancel()
	a, err := v.attempt()
	if err != nil {
		return err
	}
	v.shared = &sealer{ctx: ctx, task: t, begun: time.Now(), length: v.info.Duration}
	var from *checkpoint
	if len(t.Sealed) > 0 {
		if from, err = v.restore(a, t.Sealed, v.unit.markOr("")); err != nil {
			return err
		}
		v.shared.last = *from
		if from.Unit.Complete {
			return nil
		}
	}
	defer a.close()
	if v.unit == nil {
		a.from = from
		return a.doWhole(ctx)
	}
	return v.doUnit(ctx, a, from)
}

func (v *sharedVideo) doUnit(ctx context.Context, a *attempt, from *checkpoint) (err error) {
	unit := *v.unit
	if from != nil {
		unit = *from.Unit
	}
	v.shared.length = a.playing(unit.First, unit.End)
	part := float64(unit.Frames()) / float64(len(v.division.times))
	if a.release, err = a.reservePart(a.plan, part); err != nil {
		return err
	}
	_, err = a.runUnit(ctx, unit, from)
	if from != nil && errors.Is(err, media.ErrResume) {
		return err
	}
	return a.undividedUnlessPassing(ctx, err)
}

// doWhole processes a video that is one unit, about which nothing may be known except that it decodes.
func (a *attempt) doWhole(ctx context.Context) (err error) {
	span := a.span.Unit(telemetry.Unit{Attempt: 1, To: a.plan.Info().Duration})
	defer func() {
		span.Decoded(a.decoded())
		span.End(err)
	}()
	a.shared.span = span
	if a.release, err = a.reserveSpace(a.plan); err != nil {
		return err
	}
	if err := a.open(ctx); err != nil {
		return err
	}
	sink, err := a.process(ctx)
	if err != nil {
		return err
	}
	if sink.summary.Frames == 0 {
		return a.writer.Finish(ctx) // which fails
	}
	if damage := a.reader.Damage(); damage != nil {
		if err := a.confirm(ctx, damage, sink.summary.Frames); err != nil {
			return err
		}
		sink.damaged = damage.Error()
	}
	sink.complete = true
	return sink.checkpoint()
}

// attempt returns a new pass over the video, or over a unit of it.
func (v *sharedVideo) attempt() (*attempt, error) {
	fingerprint, err := v.fingerprint(v.file)
	if err != nil {
		return nil, err
	}
	a := &attempt{
		video: v.video, fingerprint: fingerprint, atOnce: unitsOf(v.Config, runtime.GOMAXPROCS(0)),
		progress: newProgressLog(v.logger, v.span.Progress),
	}
	a.plan, err = media.NewPlan(v.info, writeOptions(v.Config, v.file, a.atOnce))
	return a, err
}

// markOr returns the unit's mark, or other without a unit.
func (u *unitState) markOr(other string) string {
	if u == nil {
		return other
	}
	return u.mark()
}

// errOtherMaker means that what was sealed cannot be used here, although it may be intact: machines work together even
// if their servers have different models.
var errOtherMaker = fmt.Errorf("%w: the program, its models or its configuration changed", media.ErrResume)

// restore reassembles what was sealed of a unit, and returns its checkpoint. It fails with media.ErrResume if that
// cannot be used.
func (v *sharedVideo) restore(a *attempt, sealed []share.SealedSegment, mark string) (*checkpoint, error) {
	extension := filepath.Ext(v.file.Output)
	c, err := restore(sealed, restoredTo{
		video: v.job.TempFor(mark + extension), preview: v.job.TempFor(mark + previewMark + extension),
		frames: v.job.TempFor(mark + framesSuffix),
	})
	switch {
	case err != nil:
		return nil, err
	case c == nil || c.Unit == nil:
		return nil, fmt.Errorf("%w: nothing was sealed", media.ErrResume)
	case c.Fingerprint != a.fingerprint:
		return nil, errOtherMaker
	case !c.complete(a.Config.Report), (c.SecondPass == nil) != (a.second == nil),
		v.unit != nil && (c.Unit.Unit != v.unit.Unit || c.Unit.Attempt != v.unit.Attempt):
		return nil, fmt.Errorf("%w: what was sealed belongs to something else, or contradicts itself", media.ErrResume)
	}
	return c, nil
}

// Join implements share.Worker.
func (s *Shared) Join(ctx context.Context, t *share.JoinTask) (files []share.JoinedFile, err error) {
	began := time.Now()
	v, err := s.begin(t.Video, t.Temp)
	if err != nil {
		return nil, s.verdict(ctx, err)
	}
	output, free, err := s.finder.Output(v.job.Rel)
	if err != nil {
		return nil, s.verdict(ctx, err)
	}
	defer free()
	v.file.Output = output
	if v.kind == "picture" {
		err = v.runPicture(ctx, nil)
	} else {
		err = v.joinVideo(ctx, t)
	}
	v.span.Step(telemetry.SpanJoin, began, err)
	v.span.Released()
	if err != nil {
		return nil, s.verdict(ctx, err)
	}
	return v.outputs(t)
}

func (v *sharedVideo) joinVideo(ctx context.Context, t *share.JoinTask) error {
	release, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer release()
	if v.info.LeavesOutVideo() {
		v.job.KeepSource()
		v.logger.Info("the source is kept: a stream that is left out may be something other than a preview of the video")
	}
	if err := v.divideAgain(ctx); err != nil {
		return v.redoIf(err)
	}
	a, err := v.attempt()
	if err != nil {
		return err
	}
	done, err := v.collect(a, t.Units)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx) // ends the tools
	defer cancel()
	defer a.close()
	if a.release, err = a.reserveSpace(a.plan); err != nil {
		return err
	}
	err = a.publishable(ctx, done)
	return v.redoIf(err)
}

// publishable makes the output and its companion files from units, and verifies the output.
func (a *attempt) publishable(ctx context.Context, done []*checkpoint) error {
	if err := a.join(ctx, done); err != nil {
		return err
	}
	if damage := done[0].Damage; damage != "" {
		a.salvaged(errors.New(damage))
	}
	if err := a.checkNobody(ctx); err != nil {
		return err
	}
	companions, err := a.finish(ctx)
	if err != nil {
		return err
	}
	if err := a.checkModels(ctx, a.fingerprint); err != nil {
		return err
	}
	if err := a.job.Unchanged(); err != nil && !errors.Is(err, watch.ErrVanished) {
		return err
	}
	return a.job.Publish(companions...)
}

// redoIf returns a *share.Redo if an error of the join calls for one, and otherwise the error.
func (v *sharedVideo) redoIf(err error) error {
	d, second := v.division, v.plan.Second
	switch {
	case errors.Is(err, errOverlooked):
		v.logger.Warn("nobody was found in the video, but a thorough search of some of its frames does not confirm that: "+
			"it is processed again with recall: thorough", zap.String("reason", v.second.Reason),
			zap.Float64("time_s", v.second.Time))
		second = v.second
	case errors.Is(err, errUndivided), errors.Is(err, media.ErrResume):
		v.logger.Warn("video is processed in one piece, since its units do not fit together", zap.NamedError("cause", err))
		d = division{}
	default:
		return err
	}
	plan, failed := v.divided(d, second)
	if failed != nil {
		return failed
	}
	return &share.Redo{Plan: &plan, Cause: err}
}

// collect reassembles the units, and makes sure that each continues where the one before it ends. It fails with
// *share.Redo if some must be redone.
func (v *sharedVideo) collect(a *attempt, units []share.JoinUnit) ([]*checkpoint, error) {
	again := &share.Redo{Units: map[int]json.RawMessage{}}
	done := make([]*checkpoint, len(units))
	for n, u := range units {
		var edges sharedEdges
		err := json.Unmarshal(u.Edges, &edges)
		if v.unit = nil; err == nil && v.plan.Times != "" {
			v.unit = new(unitState)
			err = json.Unmarshal(u.Spec, v.unit)
		}
		if err != nil {
			return nil, share.Permanent(err)
		}
		if edges.Undivided != "" {
			return nil, v.redoIf(fmt.Errorf("%w: %s", errUndivided, edges.Undivided))
		}
		c, err := v.restore(a, u.Segments, v.unit.markOr(new(unitState).mark()))
		switch {
		case errors.Is(err, media.ErrResume), err == nil && !c.Unit.Complete:
			again.Free = (again.Free || len(again.Units) == 0) && errors.Is(err, errOtherMaker)
			again.Units[n], again.Cause = u.Spec, fmt.Errorf("unit %d cannot be used: %w", n, err)
			continue
		case err != nil:
			return nil, err
		}
		done[n] = c
	}
	if len(again.Units) > 0 {
		return nil, again
	}
	if v.plan.Times == "" {
		part := media.Part{Temp: v.job.TempFor(done[0].Unit.mark() + filepath.Ext(v.file.Output)), Progress: done[0].Video}
		var err error
		v.division.times, err = part.Shown()
		return done, err
	}
	due, err := a.apart(done)
	if err != nil {
		return nil, v.redoIf(err)
	}
	for _, u := range due {
		if again.Units[u.Number], err = json.Marshal(u); err != nil {
			return nil, err
		}
	}
	if len(due) > 0 {
		again.Cause = errors.New("people are not where they were at the end of the unit before it")
		return nil, again
	}
	return done, nil
}

// outputs returns the files to publish.
func (v *sharedVideo) outputs(t *share.JoinTask) (files []share.JoinedFile, err error) {
	var size int64
	for _, c := range append(v.job.companions, watch.Companion{Temp: v.file.Temp, Path: v.file.Output}) {
		f, err := durable.Open(c.Temp, os.O_RDONLY)
		if err != nil {
			return nil, share.Passing(err)
		}
		durable.Share(f, v.Config.Output.Mode())
		info, err := f.Stat()
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, share.Passing(err)
		}
		files = append(files, share.JoinedFile{Temp: c.Temp, Name: c.Path})
		size = info.Size() // the last one is the output
	}
	t.Result, err = json.Marshal(v.result(size))
	return files, err
}

func (v *sharedVideo) result(size int64) sharedResult {
	result := sharedResult{
		About: v.about, Output: v.file.Output, Size: size, Summary: v.summary, Repairs: v.repairs, Keep: v.job.keep,
	}
	if v.salvage != nil {
		result.Damage = v.salvage.Damage
	}
	if v.plan.Second != nil {
		result.Second = v.plan.Second.Reason
	}
	return result
}

// Published implements share.Worker. It reports the video once its outputs have their final names, and then moves or
// removes the source once the source has been unchanged for long enough.
func (s *Shared) Published(ctx context.Context, of share.Video) error {
	var result sharedResult
	if err := json.Unmarshal(of.Result, &result); err != nil {
		return fmt.Errorf("what the join says about the outputs: %w", err)
	}
	if of.Deferred == 0 {
		s.reportFinished(ctx, of, result)
	}
	calm := s.finder.Calm()
	switch {
	case result.Keep || calm == 0:
		return nil
	case of.Deferred == 0:
		return &share.Later{Wait: calm}
	}
	source, err := s.sourceOf(of)
	if err == nil {
		err = s.finder.Dispose(source, time.Duration(of.Deferred)*calm)
	}
	switch {
	case errors.Is(err, watch.ErrOpen):
		return &share.Later{Wait: calm}
	case errors.Is(err, watch.ErrChanged), errors.Is(err, watch.ErrVanished): // it is processed again, or gone
		return nil
	case err != nil && of.Deferred > mostDisposals:
		s.runner.Logger.Warn("a source could not be moved or deleted: it stays where it is", zap.String("video", source.Path),
			zap.Int("attempts", mostDisposals), zap.Error(err))
		return nil
	case err != nil:
		s.runner.Logger.Warn("a source could not be moved or deleted: will retry", zap.String("video", source.Path),
			zap.Error(err))
		return &share.Later{Wait: calm}
	}
	return nil
}

// mostDisposals is how often moving or deleting a source is tried.
const mostDisposals = 20

func (s *Shared) reportFinished(ctx context.Context, of share.Video, result sharedResult) {
	span := s.runner.Emitter.VideoShared(ctx, result.About, of.Trace)
	span.Outcome(of.Found, result.Summary)
	span.Repaired(result.Repairs.Times, result.Repairs.ClockSteps)
	if result.Damage != "" {
		span.Damaged(errors.New(result.Damage))
	}
	if result.Second != "" {
		span.SecondPass(result.Second)
	}
	if result.Summary.NobodyFound() {
		span.NobodyFound()
	}
	span.Step(telemetry.SpanPublish, of.Since, nil)
	span.Finished(telemetry.Result{Output: result.Output, Size: result.Size})
	logger := s.runner.Logger.With(zap.String("video", result.About.Path))
	logFinished(logger, kindOf(result.About.Path), result.Output, result.Summary)
}

// Failed implements share.Worker.
func (s *Shared) Failed(ctx context.Context, of share.Video) {
	path := filepath.Join(s.root, filepath.FromSlash(of.Path))
	kind := kindOf(path)
	span := s.runner.Emitter.VideoShared(ctx, telemetry.Video{
		Key: path, Name: filepath.Base(path), Path: path, Size: of.Version.Size, Picture: kind == "picture",
	}, of.Trace)
	span.Outcome(of.Found, record.Summary{})
	span.Failed(errors.New(of.Error), of.Reason, false)
	s.runner.Logger.Error(kind+LogFailed, zap.String("video", path), zap.String("reason", of.Reason),
		zap.Int("attempt", of.Attempts), zap.String("error", of.Error))
}

// Reason returns a word for an error of the work, for share.Options.
func Reason(err error) string {
	reason, _ := classify(err)
	return reason
}

// verdict calls the function verdict, and counts the attempts that no inference server answered.
func (s *Shared) verdict(ctx context.Context, err error) error {
	if ctx.Err() == nil && errors.Is(err, inference.ErrUnavailable) {
		s.runner.Emitter.Unavailable()
	}
	return verdict(ctx, err)
}

// verdict marks what an error means for the video: failure (share.Permanent) or nothing (share.Passing). After an error
// without a mark, the work is tried again a limited number of times.
func verdict(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || errors.As(err, new(*share.Redo)) {
		return err
	}
	for _, cause := range []error{inference.ErrUnavailable, errReserved, media.ErrNoSpace} {
		if errors.Is(err, cause) {
			return share.Passing(err)
		}
	}
	for _, cause := range []error{media.ErrVanished, watch.ErrChanged, watch.ErrVanished} {
		if errors.Is(err, cause) {
			return share.Passing(fmt.Errorf("%w: %w", share.ErrStale, err))
		}
	}
	if media.Permanent(err) && !errors.Is(err, media.ErrNoHEVC) { // another machine's ffmpeg may decode it
		return share.Permanent(err)
	}
	return err
}
