// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/anonymize"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

// newUnitsConfig processes the given number of units at once, each 5 s long. Encoders use one thread each, so that they
// write the same bytes regardless of the number of units.
func newUnitsConfig(t testing.TB, atOnce int) *Config {
	t.Helper()
	cfg := newTestConfig(t)
	cfg.MaxConcurrentUnits, cfg.UnitLength, cfg.Output.SegmentLength = atOnce, 5*time.Second, 2*time.Second
	cfg.LookAhead, cfg.Detector.Survey.Interval = 300*time.Millisecond, 500*time.Millisecond
	cfg.MaxConcurrentVideos = 2 * runtime.NumCPU()
	cfg.Report.Preview = config.PreviewBoxes
	return cfg
}

// inUnits anonymizes a video and returns the output and the stopped receiver.
func inUnits(t *testing.T, cfg *Config, source string) (string, *running) {
	t.Helper()
	r := start(t, cfg)
	name := filepath.Base(source)
	require.NoError(t, os.Link(source, filepath.Join(r.in, name)))
	require.Eventually(t, func() bool { return len(visible(t, r.out)) == 4 }, 40*time.Minute, 20*time.Millisecond)
	r.awaitLog(t, "finished", name)
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Empty(t, hidden(t, r.out), "no temporary file is left")
	extension := filepath.Ext(name)
	return filepath.Join(r.out, strings.TrimSuffix(name, extension)+"_anonymized"+extension), r
}

// attempts returns the number of attempts at each unit, according to its spans.
func (r *running) attempts() map[int64]int64 {
	attempts := map[int64]int64{}
	for _, span := range r.spans("anonymize_unit") {
		number, _ := span.Attributes().Get("anonymizer.unit.number")
		attempt, _ := span.Attributes().Get("anonymizer.unit.attempt")
		attempts[number.Int()] = max(attempts[number.Int()], attempt.Int())
	}
	return attempts
}

// assertSameVideo compares two outputs, their previews and what their reports say about each frame. If producing them
// took as long as a segment may take (30 s), segments, and so bytes, may differ.
func assertSameVideo(t *testing.T, want, got string, took time.Duration) {
	t.Helper()
	exact := took < 30*time.Second
	for _, path := range []func(string) string{func(p string) string { return p }, anonymize.PreviewPath} {
		a, err := os.ReadFile(path(want))
		require.NoError(t, err)
		b, err := os.ReadFile(path(got))
		require.NoError(t, err)
		assert.True(t, !exact || bytes.Equal(a, b), path(got))
	}
	a, b := frames(t, want), frames(t, got)
	require.Len(t, b, len(a))
	people := map[float64]float64{} // track numbers in want, by those in got
	for i := range a {
		x, y := tracksOf(a[i]), tracksOf(b[i])
		require.Equal(t, a[i], b[i], "frame %d", i)
		require.Len(t, y, len(x), "frame %d", i)
		for j := range x {
			same, known := people[y[j]]
			require.True(t, !known || same == x[j], "frame %d: one number for two people", i)
			people[y[j]] = x[j]
		}
	}
	var summaries [2]map[string]any
	for i, path := range []string{want, got} {
		text, err := os.ReadFile(report.Path(path))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &summaries[i]))
	}
	assert.Equal(t, summaries[0]["summary"], summaries[1]["summary"])
	if exact {
		assert.Equal(t, summaries[0]["segments"], summaries[1]["segments"])
	}
	x, y := reasons(summaries[0]), reasons(summaries[1])
	assert.Len(t, y, len(x))
	for reason, n := range x { // recomputed from rounded numbers, as when a video is resumed
		assert.InDelta(t, n, y[reason], 2, reason)
	}
}

// tracksOf sorts a frame's masks, which are in the order in which people were first seen, removes the track numbers
// from them, and returns these numbers, 0 for masks without a track.
func tracksOf(frame map[string]any) (tracks []float64) {
	masks, _ := frame["masks"].([]any)
	slices.SortFunc(masks, func(x, y any) int {
		a, b := x.(map[string]any), y.(map[string]any)
		return strings.Compare(fmt.Sprint(a["ellipse"], a["score"]), fmt.Sprint(b["ellipse"], b["score"]))
	})
	for _, m := range masks {
		track, _ := m.(map[string]any)["track"].(float64)
		delete(m.(map[string]any), "track")
		tracks = append(tracks, track)
	}
	return tracks
}

// reasons counts a report's weakest moments by reason.
func reasons(document map[string]any) map[any]int {
	count := map[any]int{}
	for _, moment := range document["weakest"].([]any) {
		count[moment.(map[string]any)["reason"]]++
	}
	return count
}

// source creates a video with ffmpeg.
func source(t testing.TB, name, args string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	out, err := exec.Command("ffmpeg", append(append([]string{"-v", "error"}, strings.Fields(args)...), path)...).
		CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// TestUnitsAreTheWholeVideo checks that the number of units processed at once makes no difference to the masks, or to
// any byte of the output. People walk across the seams.
func TestUnitsAreTheWholeVideo(t *testing.T) {
	const footage = "../../build/cache/footage/walk.mp4"
	require.FileExists(t, footage, "run `make footage` first")
	const long = "-f lavfi -i testsrc2=size=192x144:rate=5:duration=20 "
	const x264 = "-c:v libx264 -preset ultrafast -g 25 "
	for name, tc := range map[string]struct {
		file, args string
		atOnce     []int
		change     func(*Config)
		undivided  bool
	}{
		"people": {file: "a.mp4", atOnce: []int{2, 3},
			args: "-stream_loop 1 -i " + footage + " -t 12 -an -vf fps=5,scale=256:192 -c:v libx264 -preset ultrafast -g 20 ",
			change: func(c *Config) {
				c.UnitLength = 4 * time.Second
				c.Recall, c.DetectEvery, c.Detector.Survey.Enabled = config.Balanced, 0, true
			}},
		"sound, subtitles, reordered frames and open groups": {file: "a.mkv",
			args: long + "-f lavfi -i sine=duration=20 -f srt -i SUBTITLES -c:a aac -c:s srt " +
				"-c:v libx264 -preset ultrafast -x264-params open-gop=1:keyint=25:bframes=3 ",
			atOnce: []int{3}, change: func(c *Config) {
				c.Output.Audio, c.Output.Keep = media.AudioCopy, []string{media.KeepSubtitles}
			}},
		"variable rate, and an edit list": {file: "a.mp4", args: "-ss 1.3 -i WHOLE -c copy ", atOnce: []int{2}},
		"interlaced": {file: "a.mp4", args: long + x264 + "-flags +ildct+ilme -x264-params tff=1 ",
			undivided: true},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && !strings.HasPrefix(name, "variable") {
				t.Skip("anonymizes videos of 20 s")
			}
			subtitles := filepath.Join(t.TempDir(), "a.srt")
			require.NoError(t, os.WriteFile(subtitles, []byte("1\n00:00:01,000 --> 00:00:19,000\nstreet\n"), 0o600))
			args := strings.ReplaceAll(tc.args, "SUBTITLES", subtitles)
			if strings.Contains(args, "WHOLE") {
				args = strings.ReplaceAll(args, "WHOLE", source(t, "whole.mp4",
					long+"-vf setpts='(N+N*N/2000+random(1))*0.2/TB' -fps_mode vfr "+x264))
			}
			video := source(t, tc.file, args)
			run := func(atOnce int) (string, *running) {
				cfg := newUnitsConfig(t, atOnce)
				if tc.change != nil {
					tc.change(cfg)
				}
				return inUnits(t, cfg, video)
			}
			if tc.undivided {
				_, r := run(2)
				assert.Empty(t, r.attempts())
				return
			}
			began := time.Now()
			want, single := run(1)
			assert.Empty(t, single.attempts())
			var joined string
			for _, atOnce := range tc.atOnce {
				got, r := run(atOnce)
				joined = got
				attempts := r.attempts()
				assert.GreaterOrEqual(t, len(attempts), 3)
				for number, attempt := range attempts {
					assert.EqualValues(t, 1, attempt, "unit %d", number)
				}
				assertSameVideo(t, want, got, time.Since(began))
				assert.Len(t, r.spans("process_single_frame"), len(frames(t, got)))
				assert.Greater(t, r.framesOfUnits("frames_decoded"), len(frames(t, got)), "seams are decoded twice")
			}
			if strings.HasPrefix(name, "sound") {
				tools, err := media.FindTools("", "")
				require.NoError(t, err)
				info, err := tools.Probe(t.Context(), joined, media.Limits{})
				require.NoError(t, err)
				assert.Equal(t, [2]int{1, 1}, [2]int{info.AudioStreams, info.SubtitleStreams})
			}
			if name == "people" {
				assertTracksGoOn(t, joined)
			}
		})
	}
}

// TestDamagedIsUndivided checks that a damaged video is salvaged in one piece, regardless of the number of units: the
// same frames are decoded, and the report says what is missing.
func TestDamagedIsUndivided(t *testing.T) {
	if testing.Short() {
		t.Skip("anonymizes videos of 14 s")
	}
	whole := source(t, "whole.mkv",
		"-f lavfi -i testsrc2=size=192x144:rate=5:duration=20 -c:v libx264 -preset ultrafast -g 25 ")
	data, err := os.ReadFile(whole)
	require.NoError(t, err)
	for name, damage := range map[string]func([]byte) []byte{
		"its end is missing": func(data []byte) []byte { return data[:len(data)*7/10] },
		"in the middle": func(data []byte) []byte {
			copy(data[len(data)*6/10:], make([]byte, 3000))
			return data
		},
	} {
		t.Run(name, func(t *testing.T) {
			video := filepath.Join(t.TempDir(), "a.mkv")
			require.NoError(t, os.WriteFile(video, damage(slices.Clone(data)), 0o600))
			var outputs []string
			began := time.Now()
			for _, atOnce := range []int{1, 3} {
				cfg := newUnitsConfig(t, atOnce)
				cfg.OnDamaged = config.OnDamagedSalvage
				output, r := inUnits(t, cfg, video)
				finished := r.awaitLog(t, "finished", "a.mkv")
				damage, _ := finished.Attributes().Get("anonymizer.video.damage")
				assert.NotEmpty(t, damage.Str())
				outputs = append(outputs, output)
			}
			assertSameVideo(t, outputs[0], outputs[1], time.Since(began))
		})
	}
}

// assertTracksGoOn checks that at least one person walks across a seam and keeps the same track number.
func assertTracksGoOn(t *testing.T, output string) {
	t.Helper()
	all := frames(t, output)
	crossing := 0
	for _, seam := range []int{20, 40} {
		before := tracksOf(all[seam-1])
		for _, track := range tracksOf(all[seam]) {
			if track > 0 && slices.Contains(before, track) {
				crossing++
			}
		}
	}
	assert.Positive(t, crossing)
}

// unitCheckpoints returns the checkpoints of units in a directory that contain the given text.
func unitCheckpoints(t *testing.T, out, says string) (paths []string) {
	t.Helper()
	for _, path := range checkpoints(t, out) {
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(path, ".unit-") && bytes.Contains(text, []byte(says)) {
			paths = append(paths, path)
		}
	}
	return paths
}

var digest = regexp.MustCompile(`,"sha256":"[0-9a-f]{64}"}$`)

// forge changes a checkpoint and makes its digest match.
func forge(t *testing.T, path string, changes ...[2]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	text = digest.ReplaceAll(text, []byte("}"))
	for _, change := range changes {
		changed := regexp.MustCompile(change[0]).ReplaceAll(text, []byte(change[1]))
		require.NotEqual(t, string(text), string(changed), change[0])
		text = changed
	}
	sum := sha256.Sum256(text)
	text = fmt.Appendf(bytes.TrimSuffix(text, []byte("}")), `,"sha256":"%s"}`, hex.EncodeToString(sum[:]))
	require.NoError(t, os.WriteFile(path, text, 0o600))
}

// TestUnitsResume stops the receiver while units are processed. The next one resumes each unit where it was, whatever
// happened to some of them in between, and produces the same video.
func TestUnitsResume(t *testing.T) {
	if testing.Short() {
		t.Skip("anonymizes videos of 20 s")
	}
	someone, err := json.Marshal([]mask.Head{{X: 9, Y: 9, RX: 5, RY: 5}})
	require.NoError(t, err)
	someoneElse := `"Before":` + string(someone)
	video := source(t, "a.mp4",
		"-f lavfi -i testsrc2=size=192x144:rate=5:duration=20 -c:v libx264 -preset ultrafast -g 25 ")
	began := time.Now()
	want, _ := inUnits(t, newUnitsConfig(t, 1), video)
	wanted := time.Since(began)
	for name, tc := range map[string]struct {
		says    string // text of a unit's checkpoint to wait for before the receiver is stopped
		between func(t *testing.T, path string)
		attempt int64 // highest attempt number of any unit
		serial  bool
	}{
		"a unit in progress": {says: `"Complete":false`, attempt: 1},
		"a segment of a unit is missing": {says: `"Complete":false`, attempt: 1, between: func(t *testing.T, path string) {
			require.NoError(t, os.Remove(strings.TrimSuffix(path, ".checkpoint.json")+".00000.segment"))
		}},
		"a unit begins with someone else": {says: `"Number":1,.*"Complete":true`, attempt: 2,
			between: func(t *testing.T, path string) { forge(t, path, [2]string{`"Before":(null|\[[^]]*\])`, someoneElse}) }},
		"it does again": {says: `"Number":1,.*"Complete":true`, serial: true, between: func(t *testing.T, path string) {
			forge(t, path, [2]string{`"Before":(null|\[[^]]*\])`, someoneElse}, [2]string{`"Attempt":1`, `"Attempt":2`})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			cfg := newUnitsConfig(t, 2)
			r := start(t, cfg)
			require.NoError(t, os.Link(video, filepath.Join(r.in, "a.mp4")))
			var stopped []string
			require.Eventually(t, func() bool {
				stopped = nil
				for _, path := range unitCheckpoints(t, r.out, "Complete") {
					if text, err := os.ReadFile(path); err == nil && regexp.MustCompile(tc.says).Match(text) {
						stopped = append(stopped, path)
					}
				}
				return len(stopped) > 0
			}, time.Minute, time.Millisecond)
			require.NoError(t, r.Shutdown(t.Context()))
			r.awaitLog(t, "interrupted", "a.mp4")
			assert.Empty(t, visible(t, r.out))
			if tc.between != nil {
				tc.between(t, stopped[0])
			}

			again := start(t, cfg)
			finished := again.awaitLog(t, "finished", "a.mp4")
			require.NoError(t, again.Shutdown(t.Context()))
			resumed, _ := finished.Attributes().Get("anonymizer.video.frames_resumed")
			most := int64(0)
			for _, attempt := range again.attempts() {
				most = max(most, attempt)
			}
			if tc.serial {
				assert.Len(t, again.spans("process_single_frame"), 100+again.framesOfUnits("frames"), "all of it again")
				assert.Zero(t, resumed.Int())
			} else {
				assert.Equal(t, tc.attempt, most)
			}
			if tc.between == nil {
				assert.Positive(t, resumed.Int())
				assert.EqualValues(t, 100, resumed.Int()+int64(len(again.spans("process_single_frame"))))
			}
			assertSameVideo(t, want, filepath.Join(again.out, "a_anonymized.mp4"),
				wanted+time.Since(began))
			assert.Empty(t, hidden(t, again.out), "no temporary file is left")
		})
	}
}

// framesOfUnits sums up the frames in the spans of units: "frames" for those written, or "frames_decoded".
func (r *running) framesOfUnits(which string) (sum int) {
	for _, span := range r.spans("anonymize_unit") {
		n, _ := span.Attributes().Get("anonymizer.unit." + which)
		sum += int(n.Int())
	}
	return sum
}
