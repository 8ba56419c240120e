// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const rate = 25

// head returns a head with the given position, size and score.
func head(x, size, score float32, origin mask.Origin) mask.Head {
	return mask.Head{X: x, Y: 100, RX: size, RY: size, Score: score, Origin: origin}
}

// frame returns a record at 25 frames/s of a stream that starts at 2 s.
func frame(index int, heads ...mask.Head) *record.Frame {
	return &record.Frame{
		Index: index, PTS: 2*time.Second + time.Duration(index)*time.Second/rate, Analyzed: true, Look: record.LookQuick,
		LookCause: record.CauseSchedule,
		Heads:     heads, People: len(heads), Masks: len(heads),
	}
}

func frameRecord(t *testing.T, frames ...*record.Frame) *Recorder {
	t.Helper()
	r, err := NewRecorder(filepath.Join(t.TempDir(), "frames"))
	require.NoError(t, err)
	t.Cleanup(r.Close)
	for _, f := range frames {
		require.NoError(t, r.Add(f))
	}
	return r
}

func TestWeakestMoments(t *testing.T) {
	whole := func(i int) *record.Frame {
		f := frame(i, mask.FrameHead(640, 360))
		f.WholeFrameMasked = true
		return f
	}
	tests := map[string]struct {
		frames []*record.Frame
		want   []Moment
	}{
		"nobody": {frames: []*record.Frame{frame(0), frame(1)}, want: []Moment{}},
		"lowest score of a head that stays": {
			frames: []*record.Frame{
				frame(0, head(50, 10, 0.9, mask.OriginPose)), frame(1, head(52, 10, 0.4, mask.OriginPose)), frame(2,
					head(54, 10, 0.8, mask.OriginPose)),
			},
			want: []Moment{{Reason: LowScore, At: "00:00:00.040", Frame: 1, Time: 0.04, LastFrame: 2, Duration: 0.08, Score: 0.4,
				Box: [4]int{42, 90, 62, 110}}},
		},
		"longest interpolation, at its largest mask": {
			frames: []*record.Frame{
				frame(0, head(50, 10, 0.9, mask.OriginPose)), frame(1, head(52, 11, 0.7, mask.OriginInterpolated)),
				frame(2, head(54, 12, 0.7, mask.OriginInterpolated)), frame(3, head(56, 12, 0.7, mask.OriginInterpolated)),
				frame(4, head(57, 11, 0.7, mask.OriginInterpolated)), frame(5, head(58, 10, 0.9, mask.OriginPose)),
			},
			want: []Moment{
				{Reason: LowScore, At: "00:00:00.000", LastFrame: 5, Duration: 0.2, Score: 0.9, Box: [4]int{40, 90, 60, 110}},
				{Reason: Interpolated, At: "00:00:00.080", Frame: 2, Time: 0.08, FirstFrame: 1, LastFrame: 4, Duration: 0.12,
					Score: 0.7, Box: [4]int{42, 88, 66, 112}},
			},
		},
		"interpolation from one look to the next": {
			frames: []*record.Frame{
				frame(0, head(50, 10, 0.9, mask.OriginPose)), frame(1, head(52, 11, 0.7, mask.OriginInterpolated)), frame(2,
					head(54, 10, 0.9, mask.OriginPose)),
			},
			want: []Moment{{Reason: LowScore, At: "00:00:00.000", LastFrame: 2, Duration: 0.08, Score: 0.9,
				Box: [4]int{40, 90, 60, 110}}},
		},
		"two people, one of whom leaves": {
			frames: []*record.Frame{
				frame(0, head(50, 10, 0.9, mask.OriginPose), head(300, 10, 0.5, mask.OriginBox)),
				frame(1, head(302, 12, 0.5, mask.OriginHeld), head(50, 10, 0.9, mask.OriginPose)),
				frame(2, head(50, 10, 0.9, mask.OriginPose)),
			},
			want: []Moment{
				{Reason: LowScore, At: "00:00:00.000", Score: 0.5, Box: [4]int{290, 90, 310, 110}},
				{Reason: Held, At: "00:00:00.040", Frame: 1, Time: 0.04, FirstFrame: 1, LastFrame: 1, Score: 0.5,
					Box: [4]int{290, 88, 314, 112}},
				{Reason: NoKeypoints, At: "00:00:00.000", Score: 0.5, Box: [4]int{290, 90, 310, 110}},
				{Reason: LowScore, At: "00:00:00.000", LastFrame: 2, Duration: 0.08, Score: 0.9, Box: [4]int{40, 90, 60, 110}},
			},
		},
		"masked whole": {
			frames: []*record.Frame{frame(0), whole(1), whole(2), frame(3)},
			want: []Moment{{Reason: MaskedWhole, At: "00:00:00.040", Frame: 1, Time: 0.04, FirstFrame: 1, LastFrame: 2,
				Duration: 0.04,
				Box:      corners(mask.FrameHead(640, 360).Bounds())}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := frameRecord(t, test.frames...).Weakest()
			for i := range got { // internal fields
				got[i].area, got[i].begin, got[i].end = 0, 0, 0
			}
			assert.Equal(t, test.want, got)
		})
	}
}

// TestMemoryIsBounded adds a new weak head in every frame for four minutes.
func TestMemoryIsBounded(t *testing.T) {
	r := frameRecord(t)
	for i := range 6000 {
		require.NoError(t, r.Add(frame(i, head(float32(i%2)*500, 10, float32(i)/6000, mask.OriginPose))))
		require.LessOrEqual(t, len(r.moments.chains), 2)
	}
	weakest := r.Weakest()
	require.Len(t, weakest, keptMoments)
	for i, m := range weakest {
		assert.Equal(t, i, m.Frame, "the lowest scores, lowest first")
	}
}

func TestReportConformsToSchema(t *testing.T) {
	f0 := frame(0, head(50, 10, float32(math.NaN()), mask.OriginPose), head(90, 10, 0.3, mask.OriginFace))
	f0.Found = []vision.Person{{Detection: vision.Detection{Box: vision.Box{X0: -3.4, Y0: 1, X1: 80.6, Y1: 200},
		Score: 0.51234, Candidate: true}}}
	f0.Faces = []vision.Face{{Box: vision.Box{X0: 1, Y0: 2, X1: 3, Y1: 4}, Score: 1}}
	f1 := frame(1, mask.FrameHead(640, 360))
	f1.WholeFrameMasked, f1.Err, f1.Reason = true, errors.New("no memory"), "out_of_memory"
	r := frameRecord(t, f0, f1, frame(2))
	path := filepath.Join(t.TempDir(), "report.json")
	sum := strings.Repeat("0a", 32)
	require.NoError(t, r.Write(path, About{
		Program: Program{Name: "otelcol-anonymizer", Version: "1"},
		Source:  File{Name: "wa\"lk\xff.mp4", Size: 1, SHA256: sum},
		Repairs: &media.Repairs{Times: 3, ClockSteps: 1},
		VideoStreams: []media.VideoStream{
			{Codec: "mjpeg", Width: 80, Height: 60, Kind: media.StreamStill}, {Index: 1, Kind: media.StreamVideo, Taken: true},
		},
		Output:   File{Name: "walk_anonymized.mp4", Size: 1, SHA256: sum},
		Models:   []Model{{Key: "detector::model", Name: "nanodet-m", SHA256: sum}},
		Settings: Settings{DetectEvery: 1, LookAhead: 1, Tiles: 1, Regions: []Region{{Action: "keep"}}},
	}))
	validate(t, path)

	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Contains(t, string(text), `
    {"frame":0,"time_s":0.000,"judged":true,"look":"quick","look_cause":"schedule",`+
		`"people_visible":2,"people":[{"box":[-3,1,81,200],"score":0.512,"candidate":true}],`+
		`"faces":[{"box":[1,2,3,4],"score":1.000}],"masks":[{"box":[40,90,60,110],"score":0.000,"origin":"pose",`+
		`"ellipse":[50.00,100.00,10.01,10.01,0.00000]},`+
		`{"box":[80,90,100,110],"score":0.300,"origin":"face","ellipse":[90.00,100.00,10.01,10.01,0.00000]}]},
    {"frame":1,"time_s":0.040,"judged":false,"look":"quick","look_cause":"schedule",`+
		`"people_visible":1,"masked_whole":true,"error":"out_of_memory",`+
		`"masks":[`)
	var said struct {
		Summary summary `json:"summary"`
	}
	require.NoError(t, json.Unmarshal(text, &said))
	assert.Equal(t, summary{Frames: 3, Duration: 0.12, Analyzed: 2, Looks: map[record.Look]int{record.LookQuick: 2},
		MaskedWhole: 1, PeopleMax: 2, Masks: 3,
		ByOrigin: map[mask.Origin]int{mask.OriginPose: 1, mask.OriginFace: 1, mask.OriginFrame: 1}}, said.Summary)
	require.Error(t, r.Write(path, About{}), "a file that stands there is not replaced")
}

// TestNobodyFoundMoments checks that the report on a video in which nobody was found has a sample of frames to review.
func TestNobodyFoundMoments(t *testing.T) {
	r := frameRecord(t, frame(0), frame(1), frame(2))
	r.NobodyFound(1, 40*time.Millisecond)
	path := filepath.Join(t.TempDir(), "report.json")
	file := File{Name: "walk.mp4", Size: 1, SHA256: strings.Repeat("0a", 32)}
	require.NoError(t, r.Write(path, About{
		Source: file, Output: file, Models: []Model{}, Settings: Settings{LookAhead: 1, Tiles: 1, Regions: []Region{}},
		SecondPass: &SecondPass{Reason: SampleFailed, Frame: 1, Time: 0.04, FirstFrames: 3},
	}))
	validate(t, path)
	assert.Equal(t, []Moment{{Reason: NobodyFound, At: "00:00:00.040", Frame: 1, Time: 0.04, FirstFrame: 1, LastFrame: 1}},
		r.Weakest())
	assert.True(t, r.summary.NobodyFound)
}

func validate(t *testing.T, path string) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../../report.schema.json")
	require.NoError(t, err)
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	document, err := jsonschema.UnmarshalJSON(file)
	require.NoError(t, err)
	require.NoError(t, schema.Validate(document))
	document.(map[string]any)["frames"].([]any)[0].(map[string]any)["picture"] = "..."
	require.Error(t, schema.Validate(document), "the schema refuses what is no report")
}

func TestIdentify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "abc")
	require.NoError(t, os.WriteFile(path, []byte("abc"), 0o600))
	got, err := Identify(t.Context(), path)
	require.NoError(t, err)
	// This is the test vector of FIPS 180-4.
	assert.Equal(t, File{Name: "abc", Size: 3, SHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		got)
}

// BenchmarkFrame measures adding a frame with five people.
func BenchmarkFrame(b *testing.B) {
	r, err := NewRecorder(filepath.Join(b.TempDir(), "frames"))
	require.NoError(b, err)
	defer r.Close()
	f := frame(0)
	for i := range 5 {
		f.Heads = append(f.Heads, head(float32(100*i), 20, 0.7, mask.OriginPose))
		f.Found = append(f.Found, vision.Person{Detection: vision.Detection{Box: vision.Box{X0: 10, Y0: 10, X1: 100, Y1: 300},
			Score: 0.7}})
	}
	b.ReportAllocs()
	for b.Loop() {
		f.Index++
		f.PTS += time.Second / rate
		if err := r.Add(f); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzResumeRecorder resumes from arbitrary files, and checks that files that were not sealed like that are rejected.
func FuzzResumeRecorder(f *testing.F) {
	line := appendFrame(nil, &record.Frame{Index: 1, Analyzed: true, Heads: []mask.Head{{X: 5, Y: 5, RX: 2, RY: 2}}}, 0)
	f.Add(append(line, ",\n"...), int64(len(line)), false)
	f.Add([]byte(`{"frame":1e9,"time_s":1e300,"masks":[{"box":[1,2,3,-4e38],"origin":"x"}]}`), int64(200), true)
	f.Add([]byte("null\n[]\n"), int64(-1), true)
	f.Fuzz(func(t *testing.T, text []byte, size int64, sealed bool) {
		temp := filepath.Join(t.TempDir(), "report")
		require.NoError(t, os.WriteFile(temp, text, 0o600))
		p := Progress{Bytes: size}
		if size >= 0 && size <= int64(len(text)) && sealed {
			p.SHA256 = fmt.Sprintf("%x", sha256.Sum256(text[:size]))
		}
		r, err := ResumeRecorder(temp, p)
		if err != nil {
			return
		}
		defer r.Close()
		require.True(t, sealed)
		left, err := os.ReadFile(temp)
		require.NoError(t, err)
		require.Equal(t, text[:size], left)
	})
}
