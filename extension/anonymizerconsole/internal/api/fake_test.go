// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
)

const fakeVideo = "9f2c41d07b1e3a55c0d4e6f1"

// fake is a workspace with one video. The receiver tests the real workspace, and test/console tests both together.
type fake struct {
	changed chan struct{}

	mu       sync.Mutex
	state    consoleapi.State
	actor    consoleapi.Actor
	err      error
	uploaded string
	file     string // path of the output; if empty, it is ten digits
	read     atomic.Int64
	endless  bool
}

func newFake() *fake { return &fake{changed: make(chan struct{}, 1), state: consoleapi.StateToReview} }

func (f *fake) change(to consoleapi.State) {
	f.mu.Lock()
	f.state = to
	f.mu.Unlock()
	f.changed <- struct{}{}
}

func (f *fake) act(actor consoleapi.Actor) (consoleapi.Video, error) {
	f.mu.Lock()
	f.actor = actor
	err := f.err
	f.mu.Unlock()
	return f.video(), err
}

var at = time.Date(2026, 11, 28, 20, 0, 0, 0, time.UTC)

func (f *fake) video() consoleapi.Video {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := 3.5
	return consoleapi.Video{ID: fakeVideo, Name: "walk.mkv", Receiver: "videoanonymizer", State: f.state, Frames: 10,
		FramesTotal: 10, Progress: 1, ETA: &left, Updated: at, Warnings: []consoleapi.Warning{consoleapi.WarningNobodyFound},
		Failure: &consoleapi.Failure{Reason: "damaged", Message: "m", Advice: "a"},
		Review: &consoleapi.Summary{Moments: 1, Decision: &consoleapi.Decision{Decision: consoleapi.Approved, By: "Ann",
			At: at}},
		Revisions: []consoleapi.Revision{{ID: "r1", Name: "walk_anonymized.mkv", Created: at, Size: 10}}}
}

func (f *fake) Videos(context.Context, bool) ([]consoleapi.Video, error) {
	return []consoleapi.Video{f.video()}, nil
}

func (f *fake) Video(_ context.Context, id consoleapi.VideoID) (consoleapi.Video, error) {
	if id != fakeVideo {
		return consoleapi.Video{}, fmt.Errorf("%w: no such video", consoleapi.ErrNotFound)
	}
	return f.video(), nil
}

func (f *fake) Changed() <-chan struct{} { return f.changed }

func (f *fake) Redact(text string) string { return strings.ReplaceAll(text, "Jane Doe", "57a1c0de") }

func (f *fake) Status() consoleapi.StatusNow {
	return consoleapi.StatusNow{Time: at, FramesPerS: 2, People: 1,
		Stages: []consoleapi.StageTime{{Name: "decode", MS: 2}}}
}

func (f *fake) History() consoleapi.History {
	return consoleapi.History{Interval: 2, Time: []float64{1}, FramesPerS: []float64{2}, People: []int{3},
		Stages: map[string][]float64{"decode": {4}}}
}

var traceHead = consoleapi.FrameTraceHead{Trace: "0123456789abcdef0123456789abcdef", Video: fakeVideo, Name: "walk.mkv",
	Start: at}

func (f *fake) FrameTraces(consoleapi.VideoID, int) []consoleapi.FrameTraceHead {
	return []consoleapi.FrameTraceHead{traceHead}
}

func (f *fake) FrameTrace(string) (consoleapi.FrameTrace, error) {
	return consoleapi.FrameTrace{FrameTraceHead: traceHead, Spans: []consoleapi.Span{{Span: "01", Name: "decode"}}}, nil
}

func (f *fake) Revision(context.Context, consoleapi.RevisionID) (consoleapi.RevisionDetails, error) {
	return consoleapi.RevisionDetails{Revision: f.video().Revisions[0], Width: 320, Height: 180,
		Playback: consoleapi.Playback{State: consoleapi.PlaybackDirect}, Warnings: []consoleapi.Warning{},
		SecondLook: consoleapi.SecondLook{State: consoleapi.LookOff}}, nil
}

// content is a file of ten bytes, or an endless one.
type content struct {
	*strings.Reader
	endless bool
}

func (c *content) Read(b []byte) (int, error) {
	if c.endless {
		return len(b), nil
	}
	return c.Reader.Read(b)
}

func (c *content) Seek(offset int64, whence int) (int64, error) {
	if c.endless {
		return map[bool]int64{true: 1 << 40}[whence == io.SeekEnd], nil
	}
	return c.Reader.Seek(offset, whence)
}

func (c *content) Close() error { return nil }

// counted counts the bytes read from a file.
type counted struct {
	file *os.File
	read *atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.file.Read(b)
	c.read.Add(int64(n))
	return n, err
}

func (c *counted) Seek(offset int64, whence int) (int64, error) { return c.file.Seek(offset, whence) }
func (c *counted) Close() error                                 { return c.file.Close() }

func (f *fake) Open(_ context.Context, _ consoleapi.RevisionID, kind consoleapi.Kind) (consoleapi.Content, error) {
	types := map[consoleapi.Kind]string{consoleapi.KindReport: "application/json", consoleapi.KindSheet: "image/jpeg"}
	text := map[consoleapi.Kind]string{consoleapi.KindReport: `{"a":true}`}[kind]
	if text == "" {
		text = "0123456789"
	}
	if types[kind] == "" {
		types[kind] = "video/mp4"
	}
	if f.file != "" {
		file, err := os.Open(f.file)
		return consoleapi.Content{ReadSeekCloser: &counted{file, &f.read}, Name: "walk.mp4", Type: types[kind],
			ModTime: at}, err
	}
	return consoleapi.Content{ReadSeekCloser: &content{strings.NewReader(text), f.endless}, Name: "walk.mp4",
		Type: types[kind], ModTime: at}, nil
}

func (f *fake) PrepareProxy(context.Context, consoleapi.RevisionID) (consoleapi.Playback, error) {
	return consoleapi.Playback{State: consoleapi.PlaybackPreparing}, nil
}

func (f *fake) Still(_ context.Context, _ consoleapi.RevisionID, frame, _ int) ([]byte, error) {
	if frame == 99 {
		return nil, errors.New("open /secret/walk.mkv: failed")
	}
	return []byte("\xff\xd8"), nil
}

func (f *fake) Moments(context.Context, consoleapi.RevisionID) (consoleapi.Moments, error) {
	return consoleapi.Moments{SecondLook: consoleapi.SecondLook{State: consoleapi.LookDone}, Moments: []consoleapi.Moment{
		{ID: "u1", Reason: consoleapi.Uncovered, Box: &[4]int{1, 2, 3, 4}}, {ID: "m1", Reason: "held", AlsoWeak: true,
			Sightings: []consoleapi.Sighting{{Reason: "held", Box: &[4]int{1, 2, 3, 4}}, {Reason: "low_score"}}}}}, nil
}

func (f *fake) Timeline(context.Context, consoleapi.RevisionID, int) (consoleapi.Timeline, error) {
	return consoleapi.Timeline{FirstFrame: []int{0}, Time: []float64{0}, People: []int{1}, Masks: []int{1},
		Score: []float64{1}, Whole: []bool{false}}, nil
}

func (f *fake) Frames(_ context.Context, _ consoleapi.RevisionID, from, _ int) (consoleapi.Frames, error) {
	return consoleapi.Frames{Total: 10, From: from, Frames: []consoleapi.Frame{{Look: "quick", Masks: []consoleapi.Mask{
		{Origin: "pose", Outline: consoleapi.Outline{Shape: "ellipse"}}}}}}, nil
}

var watched = consoleapi.Watched{Ranges: [][2]int{{0, 5}}, Moments: []string{}}

func (f *fake) Watched(context.Context, consoleapi.RevisionID) (consoleapi.Watched, error) {
	return watched, nil
}

func (f *fake) AddWatched(_ context.Context, actor consoleapi.Actor, _ consoleapi.RevisionID,
	_ consoleapi.WatchedInput) (consoleapi.Watched, error) {
	_, err := f.act(actor)
	return watched, err
}

func (f *fake) Decide(_ context.Context, actor consoleapi.Actor, _ consoleapi.RevisionID,
	_ consoleapi.DecisionInput) (consoleapi.Video, error) {
	return f.act(actor)
}

func (f *fake) Audit(_ context.Context, _ consoleapi.VideoID, use func([]byte) error) error {
	return errors.Join(use([]byte(`{"seq":1,"actor":"Ann"}`)), use([]byte(`{"seq":2,"note":"=cmd()"}`)))
}

func (f *fake) VerifyAudit(context.Context, bool) (consoleapi.Verification, error) {
	return consoleapi.Verification{Entries: 1, BadEntry: 2, Problem: "its hash differs"}, nil
}

func (f *fake) Control(_ context.Context, actor consoleapi.Actor, _ consoleapi.VideoID,
	_ consoleapi.Action) (consoleapi.Video, error) {
	return f.act(actor)
}

func (f *fake) Upload(_ context.Context, _ consoleapi.Actor, name string, from io.Reader) (consoleapi.Upload, error) {
	text, err := io.ReadAll(from)
	f.uploaded = string(text)
	return consoleapi.Upload{Name: name, Size: int64(len(text)), Receiver: "videoanonymizer"}, err
}
