// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// repaired passes times in ms through a clock that can look the given number of frames ahead.
func repaired(container string, ahead int, times []int64) ([]int64, Repairs) {
	c := newClock(Info{Container: container, TimeBase: Rational{1, 1000}, FrameRate: Rational{25, 1}})
	out := make([]int64, len(times))
	var total Repairs
	for i, at := range times {
		out[i] = c.next(shown{at, at != none}, func(j int) (shown, bool) {
			if j += i + 1; j >= len(times) || j > i+ahead {
				return shown{}, false
			}
			return shown{times[j], times[j] != none}, true
		})
		total = total.Add(c.repairs)
	}
	return out, total
}

const none = -1 << 40 // no time

// steady returns n times that are 40 ms apart.
func steady(from int64, n int) (times []int64) {
	for i := range n {
		times = append(times, from+40*int64(i))
	}
	return times
}

func TestClock(t *testing.T) {
	const wrap = 1 << 33 / 90
	for _, tc := range []struct {
		name, container string
		times, want     []int64
		repairs         Repairs
	}{
		{"good", "", []int64{80, 120, 160}, []int64{80, 120, 160}, Repairs{}},
		{"doubled, and a gap after it", "", []int64{0, 40, 40, 120}, []int64{0, 40, 80, 120}, Repairs{Times: 1}},
		{"doubled without a gap", "", []int64{0, 40, 40, 80, 120}, []int64{0, 40, 60, 80, 120}, Repairs{Times: 1}},
		{"three at once", "", []int64{0, 40, 40, 40, 100}, []int64{0, 40, 60, 80, 100}, Repairs{Times: 2}},
		{"one out of order", "", []int64{0, 80, 40, 120}, []int64{0, 80, 100, 120}, Repairs{Times: 1}},
		{"one far back", "", []int64{4000, 4040, 7, 4120}, []int64{4000, 4040, 4080, 4120}, Repairs{Times: 1}},
		{"one far ahead", "", []int64{0, 40, 90_000, 120, 160}, []int64{0, 40, 80, 120, 160}, Repairs{Times: 1}},
		{"two far ahead", "", []int64{0, 40, 90_000, 90_040, 160, 200}, []int64{0, 40, 80, 120, 160, 200},
			Repairs{Times: 2}},
		{"no time", "", []int64{0, 40, none, 120}, []int64{0, 40, 80, 120}, Repairs{}},
		{"no times at all", "", []int64{0, none, none}, []int64{0, 40, 80}, Repairs{}},
		{"the last one doubled", "", []int64{0, 40, 40}, []int64{0, 40, 80}, Repairs{Times: 1}},
		{"a pause", "", append(steady(0, 3), steady(60_000, 3)...), append(steady(0, 3), steady(60_000, 3)...), Repairs{}},
		{"set back", "", append(steady(100_000, 30), steady(5000, 30)...), steady(100_000, 60), Repairs{ClockSteps: 1}},
		{"set back by a second", "", append(steady(100_000, 50), steady(101_000, 50)...), steady(100_000, 100),
			Repairs{ClockSteps: 1}},
		{"set back twice", "", slices.Concat(steady(90_000, 20), steady(5000, 20), steady(0, 20)), steady(90_000, 60),
			Repairs{ClockSteps: 2}},
		{"set back, and taken for a wrap", "mpegts", append(steady(100_000, 30), steady(5000+wrap, 30)...),
			steady(100_000, 60), Repairs{ClockSteps: 1}},
		{"a day's pause", "matroska,webm", append(steady(0, 3), steady(86_400_000, 3)...),
			append(steady(0, 3), steady(86_400_000, 3)...), Repairs{}},
		{"an hour's pause", "mpegts", append(steady(0, 3), steady(3_600_000, 3)...),
			append(steady(0, 3), steady(3_600_000, 3)...), Repairs{}},
	} {
		got, repairs := repaired(tc.container, maxAhead, tc.times)
		assert.Equal(t, tc.want, got, tc.name)
		assert.Equal(t, tc.repairs, repairs, tc.name)
	}
}

// TestClockDoesNotDrift checks that wrong times leave the times around them as they are, and that all times increase.
func TestClockDoesNotDrift(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		times := steady(1000, 500)
		kinds := [][]int{{0, 1}, {0, 2}}[r.IntN(2)] // together they would set the clock back by up to a second
		for range r.IntN(100) {
			i := 1 + r.IntN(len(times)-60)
			switch kinds[r.IntN(2)] {
			case 0:
				times[i] = times[i-1]
			case 1:
				times[i] = 1000 + 40*int64(i) - r.Int64N(400)
			case 2: // a clock of one second
				for j := range 25 {
					times[i-i%25+j] = 1000 + int64(i/25)*1000
				}
			}
		}
		got, repairs := repaired("", 2+r.IntN(maxAhead), times)
		for i := 1; i < len(got); i++ {
			require.Greater(t, got[i], got[i-1], "round %d, frame %d of %v", round, i, times)
		}
		for i := len(got) - 10; i < len(got); i++ {
			require.Equal(t, times[i], got[i], "round %d, frame %d", round, i)
		}
		assert.Zero(t, repairs.ClockSteps)
	}
}

// timesOf returns the times that ffprobe reads, in presentation order.
func timesOf(t *testing.T, path string) []time.Duration {
	t.Helper()
	var times []time.Duration
	for _, line := range ffprobe(t, path, "frame=pts_time", "-select_streams", "v:0") {
		times = append(times, duration(line[len("frame|pts_time="):]))
	}
	return times
}

// TestDoubledTimes checks that frames at the time of an earlier frame do not push later ones away from their audio.
func TestDoubledTimes(t *testing.T) {
	tools := testTools(t)
	movie := clip(t, "a.mkv", "-f lavfi -i testsrc2=s=64x48:r=25:d=4 "+quick+"-bf 0")
	for name, expression := range map[string]string{
		"no gap after it": "(N-floor((N+1)/5))*40",
		"a gap after it":  "if(eq(mod(N\\,5)\\,4)\\,N-1\\,N)*40",
		"in seconds":      "floor(N/25)*1000",
	} {
		t.Run(name, func(t *testing.T) {
			in, out := filepath.Join(t.TempDir(), "in.mkv"), filepath.Join(t.TempDir(), "out.mkv")
			ffmpeg(t, []string{"-i", movie, "-c", "copy", "-bsf:v", "setts=ts='" + expression + "'"}, in)
			_, err := transcode(t.Context(), tools, in, out, ReadOptions{}, WriteOptions{}, nil)
			require.NoError(t, err)
			want, got := timesOf(t, in), timesOf(t, out)
			require.Len(t, got, len(want))
			for i := range want {
				if i > 0 && want[i] > slices.Max(want[:i]) {
					assert.Equal(t, want[i], got[i], "frame %d keeps its time", i)
				}
				if i > 0 {
					assert.Greater(t, got[i], got[i-1], "frame %d", i)
				}
			}
			c, err := tools.Compare(t.Context(), in, out)
			require.NoError(t, err)
			assert.Empty(t, c.Changed())
			assert.Equal(t, Expected, row(t, c, "times of frames").Verdict)
		})
	}
}

// TestCompareReadsTimesItself checks that a comparison notices a repair that moves valid times.
func TestCompareReadsTimesItself(t *testing.T) {
	tools := testTools(t)
	movie := clip(t, "a.mkv", "-f lavfi -i testsrc2=s=64x48:r=25:d=4 "+quick+"-bf 0")
	in := filepath.Join(t.TempDir(), "in.mkv")
	ffmpeg(t, []string{"-i", movie, "-c", "copy", "-bsf:v", "setts=ts='(N-floor((N+1)/5))*40'"}, in)
	c, err := tools.Compare(t.Context(), in, movie) // every repaired frame has pushed all later ones
	require.NoError(t, err)
	times := row(t, c, "times of frames")
	assert.Equal(t, Differs, times.Verdict)
}

// TestCompareNeedsAllTimes checks that a comparison does not treat times as the same that it lacks because ffprobe
// ended early.
func TestCompareNeedsAllTimes(t *testing.T) {
	movie := clip(t, "a.mkv", "-f lavfi -i testsrc2=s=64x48:r=25:d=4 "+quick+"-bf 0")
	for name, tc := range map[string]struct {
		script  string
		failure error
	}{
		"with an error":         {script: `case "$*" in *best_effort*) ffprobe "$@" | head -n 3; exit 1;; esac`},
		"by a signal":           {`case "$*" in *best_effort*) kill $$;; esac`, ErrInterrupted},
		"as if it were the end": {script: `case "$*" in *best_effort*) ffprobe "$@" | head -n 3; exit;; esac`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tools := freeTools(t) // a confined wrapper cannot send itself a signal
			tools.FFprobe = filepath.Join(t.TempDir(), "ffprobe")
			script := "#!/bin/sh\n" + tc.script + "\nexec ffprobe \"$@\"\n"
			require.NoError(t, os.WriteFile(tools.FFprobe, []byte(script), 0o700))
			c, err := tools.Compare(t.Context(), movie, movie)
			require.ErrorIs(t, err, tc.failure)
			if tc.failure == nil {
				assert.Equal(t, Differs, row(t, c, "times of frames").Verdict)
			}
		})
	}
}

// TestClockSetBack checks that two recordings in one file become one video without a gap.
func TestClockSetBack(t *testing.T) {
	tools := testTools(t)
	part := func(from string) []byte {
		data, err := os.ReadFile(clip(t, "a.ts", testVideo("64x48", "25")+quick+"-output_ts_offset "+from))
		require.NoError(t, err)
		return data
	}
	for name, parts := range map[string][]string{
		"far":       {"100", "5"},
		"near":      {"100", "95"},
		"twice":     {"100", "5", "3"},
		"a second":  {"5", "5"},
		"same time": {"100", "100"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var data []byte
			for _, from := range parts {
				data = append(data, part(from)...)
			}
			in := written(t, "in.ts", data)
			info, err := tools.Probe(t.Context(), in, Limits{})
			require.NoError(t, err)
			plan, err := NewPlan(info, WriteOptions{})
			require.NoError(t, err)
			assert.Less(t, plan.EstimateSize(), int64(64<<20), "no space is reserved for a gap of a day")
			for _, extension := range []string{"ts", "mp4"} {
				out := filepath.Join(t.TempDir(), "out."+extension)
				_, err := transcode(t.Context(), tools, in, out, ReadOptions{}, WriteOptions{Container: extension}, nil)
				require.NoError(t, err)
				times := timesOf(t, out)
				require.Len(t, times, 25*len(parts))
				for i := 1; i < len(times); i++ {
					assert.InDelta(t, 0.04, (times[i] - times[i-1]).Seconds(), 0.001, "frame %d", i)
				}
				c, err := tools.Compare(t.Context(), in, out)
				require.NoError(t, err)
				assert.Empty(t, c.Changed())
				assert.Contains(t, row(t, c, "times of frames").Output, "set back")
			}
		})
	}
}

// TestCopiedAudioNeedsOneClock checks that audio is not copied if it would no longer match the video.
func TestCopiedAudioNeedsOneClock(t *testing.T) {
	tools := testTools(t)
	var data []byte
	for _, from := range []string{"100", "5"} {
		part, err := os.ReadFile(clip(t, "a.ts",
			testVideo("64x48", "25")+"-f lavfi -i sine=d=1 -c:a aac "+quick+"-output_ts_offset "+from))
		require.NoError(t, err)
		data = append(data, part...)
	}
	in := written(t, "in.ts", data)
	for audio, want := range map[string]error{AudioDrop: nil, AudioMute: nil, AudioCopy: ErrUnsupported} {
		info, err := tools.Probe(t.Context(), in, Limits{})
		require.NoError(t, err)
		options := WriteOptions{Audio: audio}
		plan, err := NewPlan(info, options)
		require.NoError(t, err)
		_, err = transcode(t.Context(), tools, in, filepath.Join(t.TempDir(), "out.ts"),
			ReadOptions{OneClock: plan.CopiesStreams()}, options, nil)
		require.ErrorIs(t, err, want, audio)
	}
}

func row(t *testing.T, c Comparison, what string) Row {
	t.Helper()
	i := slices.IndexFunc(c.Rows, func(r Row) bool { return r.What == what })
	require.GreaterOrEqual(t, i, 0, what)
	return c.Rows[i]
}

// TestResumeWithRepairedTimes checks that a resumed video continues with the same frames and times as without an
// interruption.
func TestResumeWithRepairedTimes(t *testing.T) {
	tools := testTools(t)
	movie := "-f lavfi -i testsrc2=s=64x48:r=25:d=24 " + quick + "-bf 0 -g 50 "
	doubled := filepath.Join(t.TempDir(), "doubled.mkv")
	ffmpeg(t, []string{"-i", clip(t, "a.mkv", movie), "-c", "copy", "-bsf:v", "setts=ts='(N-floor((N+1)/5))*40'"}, doubled)
	doubledFirst := filepath.Join(t.TempDir(), "doubled-first.mkv")
	ffmpeg(t, []string{"-i", clip(t, "a.mkv", movie), "-c", "copy", "-bsf:v",
		"setts=ts='(N-floor((min(N,200)+1)/5))*40'"}, doubledFirst)
	part, err := os.ReadFile(clip(t, "a.ts", movie))
	require.NoError(t, err)
	other, err := os.ReadFile(clip(t, "b.ts", "-f lavfi -i testsrc=s=64x48:r=25:d=24 "+quick+"-bf 0 -g 50 "))
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		in   string
		want Repairs
	}{
		"doubled":              {doubled, Repairs{Times: 120}},
		"the first 8 s":        {doubledFirst, Repairs{Times: 40}},
		"the same clock twice": {written(t, "joined.ts", append(part, other...)), Repairs{ClockSteps: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			info, err := tools.Probe(t.Context(), tc.in, Limits{})
			require.NoError(t, err)
			read := func(r *Reader, err error) (times []int64, frames []uint32, repairs []Repairs) {
				require.NoError(t, err)
				defer r.Close()
				for {
					f, err := r.Next()
					if errors.Is(err, io.EOF) {
						return times, frames, repairs
					}
					require.NoError(t, err)
					times, frames = append(times, f.PTS), append(frames, crc32.ChecksumIEEE(f.Planes[0].Data))
					repairs = append(repairs, f.Repairs)
					f.Release()
				}
			}
			known, sums, repairs := read(tools.Open(t.Context(), info, ReadOptions{}))
			var total Repairs
			for _, r := range repairs {
				total = total.Add(r)
			}
			assert.Equal(t, tc.want, total)
			for _, first := range []int{404, 450, 452, 599, len(known) - 60} {
				times, frames, again := read(tools.Resume(t.Context(), info, ReadOptions{}, known, first))
				assert.Equal(t, known[first:], times, "from %d", first)
				assert.Equal(t, sums[first:], frames, "from %d", first)
				assert.Equal(t, repairs[first:], again, "from %d", first)
			}
		})
	}
}
