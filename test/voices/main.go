// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Command voices measures what output::audio: alter does to voices. Speech synthesizers say the same sentences with
// several voices, the built collector alters them, and a speech recognizer and a measure of the distance between
// speakers evaluate both. `make voices` runs it, and prints the tables of docs/voices.md.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// sentences are what each voice says: the first half enrolls the speaker, who is to be recognized in the second.
var sentences = [...]string{
	"the ferry leaves the harbor at seven in the morning",
	"please close the window before it starts to rain",
	"my brother bought a new bicycle for the summer",
	"the nurse will see you in a few minutes",
	"we planted three apple trees behind the house",
	"she reads the paper while the coffee is hot",
	"the train to the city was late again today",
	"put the heavy boxes on the lower shelf",
	"they walked along the river until it was dark",
	"the children are playing in the garden",
	"he forgot to bring the keys to the office",
	"the soup needs more salt and some pepper",
}

// voices are flite's, which are made from recordings of people, and espeak-ng's, which are computed. %s is the
// sentence, %o the file.
var voices = map[string][]string{
	"awb":    {"flite", "-voice", "awb", "-t", "%s", "-o", "%o"},
	"rms":    {"flite", "-voice", "rms", "-t", "%s", "-o", "%o"},
	"slt":    {"flite", "-voice", "slt", "-t", "%s", "-o", "%o"},
	"kal":    {"flite", "-voice", "kal16", "-t", "%s", "-o", "%o"},
	"en-us":  {"espeak-ng", "-v", "en-us", "-s", "150", "-w", "%o", "%s"},
	"female": {"espeak-ng", "-v", "en-us+f3", "-s", "150", "-w", "%o", "%s"},
	"male":   {"espeak-ng", "-v", "en-us+m7", "-s", "150", "-w", "%o", "%s"},
}

const (
	// rate of the evaluated samples, in Hz; the recognizer's models are made for it.
	rate = 16000
	// slot is the time from one sentence to the next in a video, in seconds.
	slot = 5
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "voices:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "voices")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var spoken, altered []speaker
	var clips []string
	for _, name := range slices.Sorted(maps.Keys(voices)) {
		clip, err := speak(ctx, name, dir)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		clips = append(clips, clip)
	}
	outputs, err := alter(ctx, clips, dir)
	if err != nil {
		return err
	}
	for i, clip := range clips {
		name := strings.TrimSuffix(filepath.Base(clip), filepath.Ext(clip))
		fmt.Fprintf(os.Stderr, "voices: listening to %s\n", name)
		before, err := listen(ctx, name, clip, dir)
		if err != nil {
			return err
		}
		after, err := listen(ctx, name, outputs[i], dir)
		if err != nil {
			return err
		}
		spoken, altered = append(spoken, before), append(altered, after)
	}
	print(os.Stdout, spoken, altered)
	return nil
}

// speak makes a video in which a voice says the sentences.
func speak(ctx context.Context, name, dir string) (clip string, err error) {
	var inputs, filters []string
	for i, sentence := range sentences {
		file := filepath.Join(dir, fmt.Sprintf("%s-%d.wav", name, i))
		command := make([]string, len(voices[name]))
		for j, word := range voices[name] {
			command[j] = strings.NewReplacer("%s", sentence, "%o", file).Replace(word)
		}
		if err := tool(ctx, command...); err != nil {
			return "", err
		}
		inputs = append(inputs, "-i", file)
		filters = append(filters, fmt.Sprintf("[%d]aresample=48000,aformat=channel_layouts=mono,apad=whole_dur=%d,"+
			"atrim=end=%d[s%d]", i, slot, slot, i))
	}
	concat := ""
	for i := range sentences {
		concat += fmt.Sprintf("[s%d]", i)
	}
	filters = append(filters, fmt.Sprintf("%sconcat=n=%d:v=0:a=1[a]", concat, len(sentences)))
	clip = filepath.Join(dir, name+".mkv")
	args := append([]string{"ffmpeg", "-v", "error"}, inputs...)
	args = append(args, "-f", "lavfi", "-i", fmt.Sprintf("color=s=64x48:r=1:d=%d", slot*len(sentences)),
		"-filter_complex", strings.Join(filters, ";"), "-map", fmt.Sprintf("%d:v", len(sentences)), "-map", "[a]",
		"-c:v", "libx264", "-c:a", "flac", clip)
	return clip, tool(ctx, args...)
}

// alter has the built collector alter the voices of the videos, which are mkv files with lossless audio.
func alter(ctx context.Context, clips []string, dir string) (outputs []string, err error) {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	options, err := collector.Options{Dir: dir, Output: log, Configs: []string{fmt.Sprintf(
		"yaml:{receivers: {videoanonymizer: {watch: {stable_for: 200ms}, output: {audio: alter}, models: {directory: %q}}}}",
		filepath.Join(collector.Root(), "models"))}}.OnFreePorts()
	if err != nil {
		return nil, err
	}
	c, err := collector.Start(ctx, options)
	if err != nil {
		return nil, err
	}
	for _, clip := range clips {
		source, err := collector.Drop(clip, filepath.Join(dir, "videos", "incoming"), filepath.Base(clip))
		if err != nil {
			return nil, errors.Join(err, c.Stop(time.Minute))
		}
		outputs = append(outputs, filepath.Join(dir, collector.OutputOf(source)))
	}
	err = c.Await(ctx, "the videos with altered voices", time.Second, func() (bool, error) {
		for _, output := range outputs {
			if _, err := os.Stat(output); err != nil {
				return false, nil
			}
		}
		return true, nil
	})
	return outputs, errors.Join(err, c.Stop(time.Minute))
}

// listen evaluates what a video's voice says, and how it sounds.
func listen(ctx context.Context, name, clip, dir string) (s speaker, err error) {
	s.name = name
	var known, other []float64
	for i, sentence := range sentences {
		file := filepath.Join(dir, "sentence.wav")
		if err := tool(ctx, "ffmpeg", "-v", "error", "-y", "-ss", fmt.Sprint(i*slot), "-t", fmt.Sprint(slot), "-i", clip,
			"-map", "0:a", "-ar", fmt.Sprint(rate), "-ac", "1", file); err != nil {
			return s, err
		}
		samples, err := readSamples(ctx, file)
		if err != nil {
			return s, err
		}
		if i < len(sentences)/2 {
			known = append(known, samples...)
		} else {
			other = append(other, samples...)
		}
		heard, err := exec.CommandContext(ctx, "pocketsphinx_continuous", "-infile", file, "-logfn", os.DevNull).Output()
		if err != nil {
			return s, fmt.Errorf("pocketsphinx_continuous: %w", err)
		}
		s.words += len(strings.Fields(sentence))
		s.wrong += wordErrors(strings.Fields(sentence), strings.Fields(string(heard)))
	}
	s.known, s.other, s.pitch = cepstra(known), cepstra(other), pitch(known)
	return s, nil
}

func readSamples(ctx context.Context, file string) ([]float64, error) {
	raw, err := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-i", file, "-f", "s16le", "-").Output()
	if err != nil {
		return nil, fmt.Errorf("ffmpeg: %w", err)
	}
	samples := make([]float64, len(raw)/2)
	for i := range samples {
		samples[i] = float64(int16(binary.LittleEndian.Uint16(raw[2*i:]))) / (1 << 15)
	}
	return samples, nil
}

func tool(ctx context.Context, command ...string) error {
	if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command[0], err, out)
	}
	return nil
}
