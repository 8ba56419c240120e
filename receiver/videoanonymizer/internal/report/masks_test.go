// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// TestEllipsesAreRoundedOutward writes and reads random ellipses, and checks that the results cover the originals, and
// hardly more.
func TestEllipsesAreRoundedOutward(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		h := mask.Head{X: random.Float32() * 4000, Y: random.Float32() * 2000, RX: 1 + random.Float32()*300,
			RY: 1 + random.Float32()*300, Angle: random.Float32()*8 - 4, Origin: mask.OriginPose}
		ratio := max(h.RX/h.RY, h.RY/h.RX)
		if ratio > 4 { // heads are rounder than that
			continue
		}
		got := reread(t, &record.Frame{Heads: []mask.Head{h}}).Heads[0]
		sin, cos := math.Sincos(float64(h.Angle))
		for i := range 64 {
			v, u := math.Sincos(float64(i) * math.Pi / 32)
			u, v = u*float64(h.RX), v*float64(h.RY)
			x, y := float64(h.X)+u*cos-v*sin, float64(h.Y)+u*sin+v*cos
			require.True(t, contains(got, x, y), "%v does not cover %v", got, h)
		}
		assert.Less(t, got.RX-h.RX, float32(0.06)+h.RX*ratio*2e-5)
		assert.Less(t, got.RY-h.RY, float32(0.06)+h.RY*ratio*2e-5)
	}
}

// contains is mask.Head.Contains with 64-bit numbers.
func contains(h mask.Head, x, y float64) bool {
	sin, cos := math.Sincos(float64(h.Angle))
	dx, dy := x-float64(h.X), y-float64(h.Y)
	return math.Hypot((dx*cos+dy*sin)/float64(h.RX), (dy*cos-dx*sin)/float64(h.RY)) <= 1
}

// reread writes a frame and reads it back.
func reread(t *testing.T, rec *record.Frame) *record.Frame {
	t.Helper()
	read, err := ParseFrame(appendFrame(nil, rec, 0))
	require.NoError(t, err)
	return read
}

func TestFrameIsReadAsWritten(t *testing.T) {
	cells := vision.NewBitmap(70, 3)
	for x := 60; x < 70; x++ {
		cells.Set(x, 0)
		cells.Set(x-60, 1)
	}
	cells.Set(3, 2)
	empty := vision.NewBitmap(3, 3)
	rec := &record.Frame{
		Index: 7, PTS: 280 * time.Millisecond, Analyzed: true, Look: record.LookFull, LookCause: record.CauseCut, People: 2,
		Masks: 2, Reason: "timeout",
		Found: []vision.Person{{Detection: vision.Detection{Box: vision.Box{X0: 1, Y0: 2, X1: 3, Y1: 4}, Score: 0.25,
			Candidate: true}}},
		Faces: []vision.Face{{Box: vision.Box{X0: 5, Y0: 6, X1: 7, Y1: 8}, Score: 0.5}},
		Heads: []mask.Head{{X: 1, Y: 2, RX: 3, RY: 4, Score: 0.5, Origin: mask.OriginHeld, Track: 3},
			{X: 5, Y: 5, RX: 1, RY: 1, Box: true, Score: 0.125, Origin: mask.OriginFrame}},
		Bodies: []mask.Body{
			mask.NewBody(vision.Box{X0: 0.1, Y0: -3.3, X1: 99.123456, Y1: 1e-5}, 3, &cells),
			mask.NewBody(vision.Box{X1: 1, Y1: 1}, 0, nil),
			mask.NewBody(vision.Box{X1: 1, Y1: 1}, 4, &empty),
		},
	}
	got := reread(t, rec)
	for i := range got.Heads { // axes are rounded outward
		got.Heads[i].RX, got.Heads[i].RY = rec.Heads[i].RX, rec.Heads[i].RY
	}
	assert.Equal(t, rec, got)
}

func TestOldMasksAreBoxes(t *testing.T) {
	rec, err := ParseFrame([]byte(`    {"frame":1,"time_s":0.040,"judged":true,"masks":[{"box":[10,20,30,60],` +
		`"score":0.9,"origin":"pose"}]},` + "\n"))
	require.NoError(t, err)
	assert.Equal(t, []mask.Head{{X: 20, Y: 40, RX: 10, RY: 20, Box: true, Score: 0.9, Origin: mask.OriginPose}}, rec.Heads)
}

func TestReadReport(t *testing.T) {
	r := frameRecord(t, frame(0, head(50, 10, 0.5, mask.OriginPose)), frame(1))
	path := t.TempDir() + "/report.json"
	about := About{Encoding: &Encoding{Container: "mp4"}, Segments: [][2]int{{0, 1}, {1, 2}},
		Revision: &Revision{ID: "r2", Base: File{Name: "a", Size: 1}, From: FromSource}}
	require.NoError(t, r.Write(path, about))
	read, err := Read(path)
	require.NoError(t, err)
	assert.True(t, read.Exact())
	assert.Equal(t, 2, read.Summary.Frames)
	about.Models = nil
	assert.Equal(t, about, read.About)
	var frames []int
	require.NoError(t, read.Frames(0, 9, func(rec *record.Frame) error {
		frames = append(frames, len(rec.Heads))
		return nil
	}))
	assert.Equal(t, []int{1, 0}, frames)
	_, err = Read("report.go")
	require.ErrorContains(t, err, "it is not a report")
}

func FuzzParseFrame(f *testing.F) {
	f.Add(appendFrame(nil, frame(3, head(50, 10, 0.5, mask.OriginPose)), 0))
	f.Add([]byte(`{"silhouettes":[{"box":[0,0,1,1],"cells":[2,2],"runs":"AQE="}]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		rec, err := ParseFrame(line)
		if err != nil {
			return
		}
		again, err := ParseFrame(appendFrame(nil, rec, 0))
		require.NoError(t, err)
		assert.Len(t, again.Bodies, len(rec.Bodies))
		assert.Len(t, again.Heads, len(rec.Heads))
	})
}
