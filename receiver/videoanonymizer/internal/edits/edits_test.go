// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package edits

import (
	"bytes"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const frames = 100

// fresh returns a document without operations.
func fresh() *Document {
	sum := strings.Repeat("0a", 32)
	return &Document{Schema: Schema, Source: Source{SHA256: sum, Size: 1, Frames: frames},
		BasedOn: Base{"r1", sum, sum}}
}

// drawn returns an operation that draws a mask from keyframes of frame, x and size. A size of 0 means outside.
func drawn(keyframes ...[3]float64) Operation {
	o := Operation{Type: Add, Shape: Ellipse}
	for _, k := range keyframes {
		o.Keyframes = append(o.Keyframes, Keyframe{Frame: int(k[0]), Time: k[0] / 25, X: k[1], Y: 50, RX: k[2], RY: k[2],
			Outside: k[2] == 0})
	}
	return o
}

// video has a head of track 1 on the left, and one of track 2 on the right.
func video(from, to int, use func(*record.Frame) error) error {
	for i := from; i < min(to, frames); i++ {
		if err := use(frame(i)); err != nil {
			return err
		}
	}
	return nil
}

func frame(i int) *record.Frame {
	return &record.Frame{Index: i, PTS: time.Duration(i) * 40 * time.Millisecond, Heads: []mask.Head{
		{X: 50, Y: 50, RX: 10, RY: 14, Origin: mask.OriginPose, Track: 1},
		{X: 150, Y: 50, RX: 10, RY: 14, Origin: mask.OriginPose, Track: 2},
	}}
}

func settings() *report.Settings {
	return &report.Settings{Scale: 1.2, Shape: "ellipse", Color: "#000000"}
}

func canvas(t *testing.T) *Canvas {
	t.Helper()
	painter, err := NewPainter(settings())
	require.NoError(t, err)
	return &Canvas{Width: 200, Height: 100, Painter: painter, Frames: video}
}

func TestValidationGivesEveryError(t *testing.T) {
	times := make([]float64, frames)
	for i := range times {
		times[i] = float64(i) / 25
	}
	v := Video{Frames: frames, Times: times, Tracks: func(track, _, _ int) (bool, error) { return track <= 2, nil }}
	first := drawn([3]float64{0, 10, 5})
	remove := Operation{Type: Remove, Track: 1, To: 10, Reason: "picture", By: "Ann"}
	for name, test := range map[string]struct {
		operation Operation
		want      []string // empty if valid
	}{
		"add":                {operation: drawn([3]float64{0, 10, 5}, [3]float64{10, 20, 6}, [3]float64{20, 0, 0})},
		"outside at the end": {operation: drawn([3]float64{0, 10, 5}, [3]float64{frames, 0, 0})},
		"adjust":             {operation: Operation{Type: Adjust, Track: 1, To: 5, DX: 3}},
		"whole frame":        {operation: Operation{Type: WholeFrame, From: 3, To: 5}},
		"revert":             {operation: Operation{Type: Revert, Of: 1}},
		"confirm":            {operation: Operation{Type: Confirm, Of: 2, By: "Bob"}},
		"unknown type":       {Operation{Type: "draw"}, []string{`type: "draw" is not known`}},
		"nothing of an add":  {Operation{Type: Add}, []string{"shape:", "keyframes: there are 0"}},
		"keyframes backwards": {drawn([3]float64{5, 1, 1}, [3]float64{5, 1, 1}),
			[]string{"keyframes[1]: frame 5 is not after"}},
		"outside first":  {drawn([3]float64{5, 0, 0}), []string{"the first one cannot be outside"}},
		"beyond the end": {drawn([3]float64{frames, 1, 1}), []string{"keyframes[0]: frame: 100 is not one"}},
		"time of another": {Operation{Type: Add, Shape: Ellipse, Keyframes: []Keyframe{{Frame: 3, RX: 1, RY: 1}}},
			[]string{"time_s: 0 is not the time of frame 3, which is 0.120"}},
		"far away": {drawn([3]float64{0, 1e9, 1e9}), []string{"x, y:", "rx, ry:"}},
		"removal": {Operation{Type: Remove, Track: 9, From: 5, To: 5},
			[]string{"reason: is required", "from, to: 5 up to 5"}},
		"reason": {Operation{Type: Remove, Track: 1, To: 5, Reason: "why not"},
			[]string{`reason: "why not" is not known`}},
		"other without a note": {Operation{Type: Remove, Track: 1, To: 5, Reason: ReasonOther, Note: " "},
			[]string{"note: is required"}},
		"another's track": {Operation{Type: Remove, Track: 9, To: 5, Reason: "consent"},
			[]string{"track: 9 has no mask"}},
		"no track":         {Operation{Type: Adjust, To: 5, DX: 1}, []string{"track: 0 is not a track"}},
		"nothing adjusted": {Operation{Type: Adjust, Track: 1, To: 5, ScaleRX: 1}, []string{"has to change something"}},
		"scale": {Operation{Type: Adjust, Track: 1, To: 5, ScaleRX: -1, ScaleRY: 99},
			[]string{"scale_rx: -1", "scale_ry: 99"}},
		"fields of others": {Operation{Type: WholeFrame, To: 5, Track: 1, DX: 1, Of: 1},
			[]string{"track: whole_frame has none", "dx:", "of:"}},
		"of a later one":    {Operation{Type: Revert, Of: 3}, []string{"there is no earlier operation 3"}},
		"confirm an add":    {Operation{Type: Confirm, Of: 1}, []string{"uncovers nothing"}},
		"confirm one's own": {Operation{Type: Confirm, Of: 2, By: "Ann"}, []string{"a second person has to confirm it"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := fresh().With(first, remove, test.operation).Validate(2, v)
			if len(test.want) == 0 {
				require.NoError(t, err)
				return
			}
			for _, want := range test.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
	err := fresh().With(first, Operation{Type: Revert, Of: 1}, Operation{Type: Revert, Of: 1}).Validate(0, v)
	require.ErrorContains(t, err, "operation 1 is already reverted")
	err = fresh().With(Operation{Type: "a"}, Operation{Type: "b"}).Validate(0, v)
	require.ErrorContains(t, err, `operations[0]: type: "a"`)
	require.ErrorContains(t, err, `operations[1]: type: "b"`)
}

func TestDocumentRoundTrip(t *testing.T) {
	for _, d := range []*Document{fresh(), fresh().With(drawn([3]float64{1, 2, 3}),
		Operation{Type: Revert, Of: 1, By: "Ann <\u2028>", At: time.Unix(1, 0).UTC()})} {
		text, err := d.Encode()
		require.NoError(t, err)
		read, err := Parse(text)
		require.NoError(t, err)
		assert.Equal(t, d.ETag(), read.ETag())
		again, err := read.Encode()
		require.NoError(t, err)
		assert.Equal(t, string(text), string(again))
		validate(t, text)
	}
	for name, text := range map[string]string{
		"unknown field": `{"schema":"otelcol-anonymizer/edits/v1","pixels":1}`,
		"newer":         `{"schema":"otelcol-anonymizer/edits/v2"}`,
		"two values":    `{"schema":"otelcol-anonymizer/edits/v1"} {}`,
		"cut off":       `{"schema":"otelcol-anonymizer/edits/v1","operations":[`,
	} {
		_, err := Parse([]byte(text))
		require.Error(t, err, name)
	}
}

// validate validates a document with the schema, and the schema's examples with the schema and the parser.
func validate(t *testing.T, text []byte) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../../edits.schema.json")
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	require.NoError(t, schema.Validate(value))
	require.NotEmpty(t, schema.Examples)
	for _, example := range schema.Examples {
		require.NoError(t, schema.Validate(example))
	}
	examples, err := filepath.Glob("testdata/*.edits.json")
	require.NoError(t, err)
	require.NotEmpty(t, examples)
	for _, path := range examples {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		require.NoError(t, err)
		require.NoError(t, schema.Validate(value), path)
		_, err = Parse(text)
		require.NoError(t, err, path)
	}
}

func FuzzParse(f *testing.F) {
	text, err := fresh().With(drawn([3]float64{1, 2, 3}, [3]float64{9, 0, 0}),
		Operation{Type: Remove, Track: 1, To: 5, Reason: "consent"}, Operation{Type: Revert, Of: 2}).Encode()
	require.NoError(f, err)
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		for i := range min(3, d.Source.Frames) {
			d.Live().Apply(frame(i))
		}
		d.Changed(0)
		again, err := d.Encode()
		require.NoError(t, err)
		_, err = Parse(again)
		require.NoError(t, err, "%s", again)
	})
}

// TestKeyframes compares the mask in every frame with linear interpolation between its keyframes.
func TestKeyframes(t *testing.T) {
	o := Operation{Type: Add, Shape: Ellipse, Keyframes: []Keyframe{
		{Frame: 10, X: 10, Y: 90, RX: 10, RY: 20, Angle: 0}, {Frame: 20, X: 110, Y: 40, RX: 20, RY: 10, Angle: 1},
		{Frame: 30, Outside: true}, {Frame: 40, X: 7, Y: 8, RX: 9, RY: 10},
	}}
	live := fresh().With(o).Live()
	for i := range frames {
		added := live.Apply(frame(i)).Added
		switch {
		case i < 10, i >= 30 && i < 40:
			assert.Empty(t, added, i)
		case i < 20:
			u := float32(i-10) / 10
			want := mask.Head{X: 10 + 100*u, Y: 90 - 50*u, RX: 10 + 10*u, RY: 20 - 10*u, Angle: u, Score: 1,
				Origin: mask.OriginAdded}
			require.Len(t, added, 1)
			for _, d := range [...]float32{added[0].X - want.X, added[0].Y - want.Y, added[0].RX - want.RX,
				added[0].RY - want.RY, added[0].Angle - want.Angle} {
				assert.InDelta(t, 0, d, 1e-4)
			}
		case i < 30:
			require.Len(t, added, 1)
			assert.InDelta(t, 110, added[0].X, 0, "it is held up to where it ends")
		default:
			require.Len(t, added, 1)
			assert.InDelta(t, 7, added[0].X, 0, "and after the last keyframe")
		}
	}
	from, to := fresh().With(o).Range(1)
	assert.Equal(t, [2]int{10, frames}, [2]int{from, to})
}

func TestUndoToTheBeginning(t *testing.T) {
	d := fresh().With(drawn([3]float64{0, 100, 5}), Operation{Type: Remove, Track: 1, To: 50, Reason: "picture"},
		Operation{Type: Adjust, Track: 2, To: 50, DX: 3}, Operation{Type: WholeFrame, From: 4, To: 6})
	want := fresh().Live().Apply(frame(5))
	assert.False(t, equal(d, want))
	for id := 4; id >= 1; id-- {
		d = d.With(Operation{Type: Revert, Of: id})
	}
	require.NoError(t, d.Validate(0, Video{Frames: frames}))
	assert.True(t, equal(d, want))
	assert.Empty(t, d.Changed(0))
	redone := d.With(Operation{Type: Revert, Of: 8}) // the revert of the add
	assert.Len(t, redone.Live().Apply(frame(5)).Added, 1)
}

func equal(d *Document, want Masks) bool {
	got := d.Live().Apply(frame(5))
	return got.Equal(&want)
}

func TestUncovered(t *testing.T) {
	move := Operation{Type: Adjust, Track: 1, From: 10, To: 12, DX: 4}
	cover := drawn([3]float64{0, 50, 30})
	moveWithReason, undo := move, Operation{Type: Revert, Of: 1}
	moveWithReason.Reason = "not_a_head"
	undoWithReason := undo
	undoWithReason.Reason = "not_a_head"
	for name, test := range map[string]struct {
		operations []Operation
		from       int // the operations from this index on are new
		rendered   int
		want       []int // frames in which something is uncovered
	}{
		"a move":                    {operations: []Operation{move}, want: []int{10, 11}},
		"a move with a reason":      {operations: []Operation{moveWithReason}},
		"a move below another mask": {operations: []Operation{cover, move}, from: 1},
		"a growing mask":            {operations: []Operation{{Type: Adjust, Track: 1, To: 5, ScaleRX: 1.5, ScaleRY: 1}}},
		"a growing mask that moves": {operations: []Operation{{Type: Adjust, Track: 1, To: 3,
			ScaleRX: 2, ScaleRY: 2, DX: 2}}},
		"a shrinking mask": {operations: []Operation{{Type: Adjust, Track: 1, To: 1, ScaleRX: .9}},
			want: []int{0}},
		"a turned mask": {operations: []Operation{{Type: Adjust, Track: 1, To: 1, Rotate: .5}},
			want: []int{0}},
		"a removal":                    {operations: []Operation{{Type: Remove, Track: 1, To: 5, Reason: "consent"}}},
		"whole frames":                 {operations: []Operation{{Type: WholeFrame, To: 5}}},
		"undo of what nobody has seen": {operations: []Operation{drawn([3]float64{0, 100, 5}), undo}, from: 1},
		"undo of what was rendered": {operations: []Operation{drawn([3]float64{0, 100, 5}, [3]float64{3, 0, 0}), undo},
			from: 1, rendered: 1, want: []int{0, 1, 2}},
		"undo of what was rendered, with a reason": {operations: []Operation{drawn([3]float64{0, 100, 5}), undoWithReason},
			from: 1, rendered: 1},
		"undo of what covered a move": {operations: []Operation{cover, move, undo}, from: 2, want: []int{10, 11}},
		"undo of a removal": {operations: []Operation{{Type: Remove, Track: 1, To: 5, Reason: "consent"}, undo}, from: 1,
			rendered: 1},
		"undo of what was drawn over a removal": {operations: []Operation{{Type: Remove, Track: 1, To: 9, Reason: "consent"},
			cover, {Type: Revert, Of: 2}}, from: 2},
		"undo of a move that was rendered": {operations: []Operation{moveWithReason, undo}, from: 1, rendered: 1,
			want: []int{10, 11}},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := canvas(t).Uncovered(fresh().With(test.operations...), test.from, test.rendered, 10)
			require.NoError(t, err)
			var got []int
			for _, u := range found {
				got = append(got, u.Frame)
				assert.Positive(t, u.Pixels)
				assert.False(t, u.Box.Empty())
			}
			assert.Equal(t, test.want, got)
		})
	}
}

// TestCoverageIsWhatIsPainted paints random masks of every shape, method and kind of region, and compares the pixels
// with the coverage.
func TestCoverageIsWhatIsPainted(t *testing.T) {
	cells := vision.NewBitmap(8, 8)
	for i := range 8 {
		cells.Set(i, i)
		cells.Set(i, 7-i)
	}
	body := mask.NewBody(vision.Box{X0: 100.3, Y0: 11.2, X1: 180.9, Y1: 95}, 2, &cells)
	other := mask.NewBody(vision.Box{X0: 90.3, Y0: 31.2, X1: 150.9, Y1: 85}, 2, nil)
	around := &Around{At: time.Second, Masks: Masks{
		Heads: []mask.Head{{X: 30.2, Y: 40.7, RX: 14.3, RY: 20.1, Angle: .6}, {X: 70, Y: 50, RX: 4, RY: 5, Box: true}},
		Added: []mask.Head{{X: 20, Y: 80, RX: 9, RY: 5, Origin: mask.OriginAdded}}, Bodies: []mask.Body{body},
	}, Before: &Masks{Bodies: []mask.Body{other}}, After: &Masks{Bodies: []mask.Body{body}}}
	for _, shape := range mask.Shapes {
		for _, regions := range [][]report.Region{nil, {{Action: "keep", Polygon: [][2]float64{{0, 0}, {.4, .1}, {.3, 1}}},
			{Action: "mask", Polygon: [][2]float64{{.9, .9}, {1, .9}, {1, 1}}, To: 9}}, {{Action: "mask"}}} {
			s := settings()
			s.Shape, s.Regions, s.Color = string(shape), regions, "#ffffff"
			painter, err := NewPainter(s)
			require.NoError(t, err)
			format := media.PixelFormat{Name: "gray", Planes: 1, Depth: 8}
			f := &media.Frame{Width: 200, Height: 100, Format: format}
			f.Planes[0] = media.Plane{Width: 200, Height: 100, Data: make([]byte, 200*100)}
			require.NoError(t, painter.Paint(f, around))
			c := painter.Cover(200, 100, around)
			pixels := 0
			for _, v := range f.Planes[0].Data {
				if v != 0 {
					pixels++
				}
			}
			covered, _ := mask.NewCoverage(200, 100).Missing(c, c)
			assert.Equal(t, pixels, covered, "%s, %d regions", shape, len(regions))
			assert.Positive(t, pixels)
		}
	}
}

func TestMissing(t *testing.T) {
	painter := mask.NewPainter(mask.Options{})
	all := mask.NewCoverage(200, 100)
	all.Fill()
	one := painter.Cover(200, 100, mask.Masks{Heads: []mask.Head{{X: 100, Y: 50, RX: 10, RY: 10, Box: true}}})
	pixels, box := mask.NewCoverage(200, 100).Missing(all, one)
	assert.Equal(t, 400, pixels)
	assert.Equal(t, image.Rect(90, 40, 110, 60), box)
	pixels, _ = one.Missing(all, one)
	assert.Zero(t, pixels)
}

// BenchmarkThousandOperations measures how long it takes to validate and encode one more operation after a thousand,
// and to apply all of them to a frame.
func BenchmarkThousandOperations(b *testing.B) {
	d := fresh()
	for i := range 1000 {
		d = d.With(drawn([3]float64{float64(i % 90), 100, 5}, [3]float64{float64(i%90 + 10), 0, 0}))
	}
	b.Run("append", func(b *testing.B) {
		for b.Loop() {
			longer := d.With(drawn([3]float64{1, 2, 3}))
			require.NoError(b, longer.Validate(1000, Video{Frames: frames}))
			_, err := longer.Encode()
			require.NoError(b, err)
		}
	})
	live := d.Live()
	b.Run("frame", func(b *testing.B) {
		for b.Loop() {
			live.Apply(frame(50))
		}
	})
}

func TestChangedRanges(t *testing.T) {
	d := fresh().With(drawn([3]float64{10, 1, 1}, [3]float64{20, 0, 0}), Operation{Type: WholeFrame, From: 15, To: 25},
		drawn([3]float64{90, 1, 1}))
	assert.Equal(t, [][2]int{{10, 25}, {90, 100}}, d.Changed(0))
	assert.Equal(t, [][2]int{{90, 100}}, d.Changed(2))
	d = d.With(Operation{Type: Revert, Of: 1}, Operation{Type: Revert, Of: 3})
	assert.Equal(t, [][2]int{{10, 20}}, d.Changed(2), "what was reverted before it was rendered changes nothing")
}
