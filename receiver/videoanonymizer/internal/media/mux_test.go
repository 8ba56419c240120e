// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// peakVolume is the peak of a file's audio in decibels, as ffmpeg measures it.
func peakVolume(t *testing.T, path string) float64 {
	t.Helper()
	out, err := exec.Command("ffmpeg", "-nostdin", "-hide_banner", "-i", path, "-map", "0:a", "-af", "volumedetect",
		"-f", "null", "-").CombinedOutput()
	require.NoError(t, err, "%s", out)
	_, rest, found := strings.Cut(string(out), "max_volume: ")
	require.True(t, found, "%s", out)
	peak, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	require.NoError(t, err)
	return peak
}

// span returns the times of the first and the last packet of a stream in seconds; zero if the container stores none.
func span(t *testing.T, path, stream string) (from, to float64) {
	t.Helper()
	lines := ffprobe(t, path, "packet=pts_time", "-select_streams", stream)
	require.NotEmpty(t, lines)
	at := func(line string) float64 {
		_, text, _ := strings.Cut(line, "pts_time=")
		text, _, _ = strings.Cut(text, "|")
		seconds, err := strconv.ParseFloat(text, 64)
		require.True(t, err == nil || text == "N/A", line)
		return seconds
	}
	return at(lines[0]), at(lines[len(lines)-1])
}

// kinds returns the kinds of a file's streams.
func kinds(t *testing.T, path string) (found []string) {
	t.Helper()
	for _, line := range ffprobe(t, path, "stream=codec_type") {
		kind, ok := strings.CutPrefix(line, "stream|codec_type=")
		if ok && !slices.Contains(found, kind) { // MPEG-TS lists them by program, too
			found = append(found, kind)
		}
	}
	return found
}

// TestAudioModes copies, mutes and drops audio in every container, and checks that frames keep their times.
func TestAudioModes(t *testing.T) {
	const testAV = "-f lavfi -i testsrc2=s=64x48:r=25:d=3 -f lavfi -i sine=d=3:r=48000 -map 0 -map 1 "
	for file, args := range map[string]string{
		"a.mp4":  "-c:v libx264 -preset ultrafast -c:a aac",
		"a.mov":  "-c:v libx264 -preset ultrafast -c:a pcm_s16le",
		"a.mkv":  "-c:v libx264 -preset ultrafast -c:a aac",
		"a.webm": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus",
		"a.avi":  "-c:v mpeg4 -c:a libmp3lame",
		"a.ts":   "-c:v libx264 -preset ultrafast -c:a aac",
	} {
		t.Run(file, func(t *testing.T) {
			skipIfShort(t, file == "a.mp4")
			t.Parallel()
			in := clip(t, file, testAV+args)
			for _, mode := range []string{AudioDrop, AudioMute, AudioCopy, AudioAlter} {
				out := filepath.Join(t.TempDir(), file)
				_, err := transcode(t.Context(), testTools(t), in, out, ReadOptions{},
					WriteOptions{Preset: "ultrafast", Audio: mode}, nil)
				require.NoError(t, err, mode)
				if mode == AudioDrop {
					assert.Equal(t, []string{"video"}, kinds(t, out))
					continue
				}
				assert.ElementsMatch(t, []string{"video", "audio"}, kinds(t, out), mode)
				assert.Len(t, probeVideo(t, out).times, 75, mode)
				from, to := span(t, out, "a:0")
				assert.InDelta(t, 2.97, to-from, 0.15, "%s: duration of the audio", mode)
				if mode == AudioMute {
					assert.Less(t, peakVolume(t, out), -80.0, "silence")
					continue
				}
				assert.Greater(t, peakVolume(t, out), -30.0, "a tone")
				pitch := 440.0
				if mode == AudioAlter {
					pitch /= voiceShift // the tone counts as a high voice
				}
				assert.InDelta(t, pitch, tone(t, out, "0:a", 1, 2), 5, "%s: frequency of the tone", mode)
				before, _ := span(t, in, "a:0")
				videoBefore, _ := span(t, in, "v:0")
				videoAfter, _ := span(t, out, "v:0")
				assert.InDelta(t, before-videoBefore, from-videoAfter, 0.03, "audio and video are in sync as before")
			}
		})
	}
}

// TestMuteWithTags checks that a source that is opened for its tags still gets no audio into the output.
func TestMuteWithTags(t *testing.T) {
	in := clip(t, "a.mp4",
		"-f lavfi -i testsrc2=s=64x48:r=25:d=1 -f lavfi -i sine=d=1 -c:v libx264 -c:a aac -metadata title=kept")
	out := filepath.Join(t.TempDir(), "a.mp4")
	write := WriteOptions{Preset: "ultrafast", Audio: AudioMute, Keep: []string{"title", KeepChapters}}
	_, err := transcode(t.Context(), testTools(t), in, out, ReadOptions{}, write, nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"video", "audio"}, kinds(t, out))
	assert.Less(t, peakVolume(t, out), -80.0, "silence")
	assert.Contains(t, strings.Join(ffprobe(t, out, "format_tags"), " "), "kept")
}

// refusal returns the error of Create, which leaves nothing behind.
func refusal(t *testing.T, in string, write WriteOptions) error {
	t.Helper()
	tools, dir := testTools(t), t.TempDir()
	info, err := tools.Probe(t.Context(), in, Limits{})
	require.NoError(t, err)
	_, refused := tools.createFor(t.Context(), filepath.Join(dir, ".a."+write.Container), info, write)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
	return refused
}

// TestAudioDoesNotFitContainer checks that such audio is refused before encoding, not after.
func TestAudioDoesNotFitContainer(t *testing.T) {
	in := clip(t, "a.mkv", "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -f lavfi -i sine=d=1 -c:v libx264 -c:a aac")
	err := refusal(t, in, WriteOptions{Container: "webm", Audio: AudioCopy})
	require.ErrorIs(t, err, ErrUnsupported)
	require.ErrorContains(t, err, "choose container mkv")
}

// TestAudioCannotBeReadBack checks MPEG-TS, which accepts any stream, as data of unknown kind.
func TestAudioCannotBeReadBack(t *testing.T) {
	in := clip(t, "a.mkv", "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -f lavfi -i sine=d=1 -c:v libx264 -c:a flac")
	err := refusal(t, in, WriteOptions{Container: "ts", Audio: AudioCopy})
	require.ErrorIs(t, err, ErrUnsupported)
	require.ErrorContains(t, err, "0 and 0 can be read back")
}

// TestSubtitlesDoNotFitContainer checks that the error does not suggest the container in use.
func TestSubtitlesDoNotFitContainer(t *testing.T) {
	subs := written(t, "s.srt", []byte("1\n00:00:00,000 --> 00:00:01,000\nwords\n"))
	in := clip(t, "a.mp4", "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -i "+subs+" -map 0 -map 1 -c:v libx264 -c:s mov_text")
	err := refusal(t, in, WriteOptions{Container: "mkv", Keep: []string{KeepSubtitles}})
	require.ErrorIs(t, err, ErrUnsupported)
	require.ErrorContains(t, err, "matroska: leave them out")
}

// TestTagTooLong checks that such a tag is refused before encoding, since the kernel would not accept it as an
// argument.
func TestTagTooLong(t *testing.T) {
	meta := written(t, "meta.txt", []byte(";FFMETADATA1\ncomment="+strings.Repeat("x", maxTag+1)+"\n"))
	in := clip(t, "a.mkv", "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -i "+meta+" -map_metadata 1 -c:v ffv1")
	err := refusal(t, in, WriteOptions{Container: "mkv", Keep: []string{"comment"}})
	require.ErrorIs(t, err, ErrLimit)
	require.ErrorContains(t, err, `"COMMENT" is longer`)
}

// TestSalvageWithAudio checks that the audio of a truncated video is kept, though ffmpeg complains about it again, and
// that the last frame is shown no longer than the others.
func TestSalvageWithAudio(t *testing.T) {
	for _, name := range []string{"a.mkv", "a.mp4"} {
		t.Run(name, func(t *testing.T) {
			skipIfShort(t, name == "a.mp4")
			in := clip(t, name, "-f lavfi -i testsrc2=s=320x240:r=25:d=20 -f lavfi -i sine=d=20 "+
				"-c:v libx264 -g 25 -c:a aac -movflags faststart")
			stat, err := os.Stat(in)
			require.NoError(t, err)
			require.NoError(t, os.Truncate(in, stat.Size()/2))
			out := filepath.Join(t.TempDir(), name)
			pts, err := transcode(t.Context(), testTools(t), in, out, ReadOptions{Salvage: true},
				WriteOptions{Preset: "ultrafast", Audio: AudioCopy}, nil)
			require.NoError(t, err)
			require.Greater(t, len(pts), 50)
			require.Less(t, len(pts), 480)
			assert.ElementsMatch(t, []string{"video", "audio"}, kinds(t, out))
			info, err := testTools(t).Probe(t.Context(), out, Limits{})
			require.NoError(t, err)
			assert.InDelta(t, float64(len(pts))/25, info.Duration.Seconds(), 1)
		})
	}
}

// TestVeryLongVideo writes a video that lasts longer, in units of time, than a packet can last in MP4.
func TestVeryLongVideo(t *testing.T) {
	in := clip(t, "a.mp4",
		"-f lavfi -i testsrc=s=64x48:r=1/600:d=28800 -c:v libx264 -preset ultrafast -video_track_timescale 90000")
	out := filepath.Join(t.TempDir(), "out.mp4")
	_, err := transcode(t.Context(), testTools(t), in, out, ReadOptions{}, WriteOptions{Preset: "ultrafast"}, nil)
	require.NoError(t, err)
	assert.Equal(t, probeVideo(t, in).times, probeVideo(t, out).times)
	info, err := testTools(t).Probe(t.Context(), out, Limits{})
	require.NoError(t, err)
	assert.Equal(t, 8*time.Hour, info.Duration)
}

// TestKeepTagsChaptersSubtitles adds tags, chapters and subtitles, and checks that the output has exactly those to be
// kept.
func TestKeepTagsChaptersSubtitles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	subs := write("s.srt", "1\n00:00:00,000 --> 00:00:01,000\nwords\n")
	chapters := write("c.txt", ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=first part\n")
	for _, file := range []string{"a.mp4", "a.mkv"} {
		in := filepath.Join(dir, file)
		text := map[string]string{"a.mp4": "mov_text", "a.mkv": "srt"}[file]
		ffmpeg(t, strings.Fields("-y -f lavfi -i testsrc2=s=64x48:r=25:d=1 -f lavfi -i sine=d=1 -i "+subs+" -i "+
			chapters+
			" -map 0 -map 1 -map 2 -map_chapters 3 -c:v libx264 -c:a aac -c:s "+text+
			" -metadata title=secret -metadata artist=nobody -metadata creation_time=2021-03-04T05:06:07Z"), in)
		for _, tc := range []struct {
			name          string
			keep          []string
			has, hasNot   []string
			subtitleCount int
		}{
			{"nothing", nil, nil, []string{"secret", "nobody", "2021-03-04", "first", "subtitle"}, 0},
			{"a time", []string{"Creation_Time"}, []string{"2021-03-04"},
				[]string{"secret", "nobody", "first", "subtitle"}, 0},
			{"tags", []string{"title", "artist"}, []string{"secret", "nobody"},
				[]string{"2021-03-04", "first", "subtitle"}, 0},
			{"chapters", []string{KeepChapters}, []string{"first"}, []string{"secret", "nobody", "2021-03-04"}, 0},
			{"subtitles", []string{KeepSubtitles}, []string{"subtitle"},
				[]string{"secret", "nobody", "2021-03-04", "first"}, 1},
		} {
			t.Run(file+" "+tc.name, func(t *testing.T) {
				skipIfShort(t, file == "a.mp4")
				out := filepath.Join(t.TempDir(), file)
				_, err := transcode(t.Context(), testTools(t), in, out, ReadOptions{},
					WriteOptions{Preset: "ultrafast", Keep: tc.keep}, nil)
				require.NoError(t, err)
				said := strings.Join(ffprobe(t, out, "format_tags:stream=codec_type:stream_tags:chapter:chapter_tags"),
					"\n")
				for _, word := range tc.has {
					assert.Contains(t, said, word)
				}
				for _, word := range tc.hasNot {
					if word == "subtitle" && file == "a.mp4" && tc.name == "chapters" {
						continue // MP4 stores chapters as a text track
					}
					assert.NotContains(t, said, word)
				}
			})
		}
	}
}
