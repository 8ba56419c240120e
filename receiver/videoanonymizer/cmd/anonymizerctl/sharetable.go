// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
)

// printShare prints the status as a table.
func printShare(w io.Writer, s shareStatus) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if s.Source == fromMirror {
		fmt.Fprintf(table, "share %s, from its mirror, last written %s ago; it does not show who does what\n", s.Share,
			age(*s.Written))
	} else {
		fmt.Fprintf(table, "share %s, coordinated by %s\n", s.Share, cmp.Or(s.Coordinator, "nobody"))
		fmt.Fprintf(table, "\nMACHINE\tSTATE\tSTARTED\tDOES\n")
		for _, m := range s.Machines {
			fmt.Fprintf(table, "%s\t%s\t%s ago\t%s\n", m.Name, machineState(m), age(m.Since), strings.Join(doing(m), ", "))
		}
	}
	if err := printVideos(table, s.Videos); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", counts(s.Counts))
	return err
}

func machineState(m share.MachineStatus) string {
	if m.State() == share.MachineSilent {
		return fmt.Sprintf("silent for %s", seconds(m.Silent))
	}
	return strings.ReplaceAll(string(m.State()), "_", " ")
}

func doing(m share.MachineStatus) (all []string) {
	for _, t := range m.Doing {
		what := t.Task
		if t.Unit != nil {
			what = fmt.Sprintf("unit %d", *t.Unit)
		}
		all = append(all, fmt.Sprintf("%s of %s for %s", what, oneLine(t.Video), age(t.Since)))
	}
	return all
}

// printVideos prints all videos but those that merely wait, with all of their units but those that are merely open or
// done.
func printVideos(table *tabwriter.Writer, videos []share.VideoStatus) error {
	heading := "\nVIDEO\tSTATE\tFOR\tMACHINE\tNOTE\n"
	for _, v := range videos {
		if v.State == share.VideoFound && v.Machine == "" && v.Error == "" {
			continue
		}
		fmt.Fprintf(table, "%s%s\t%s\t%s\t%s\t%s\n", heading, oneLine(v.Path), v.State, age(v.Since), v.Machine, videoNote(v))
		heading = ""
		for _, u := range v.Units {
			if note := unitNote(u); u.State == share.UnitClaimed || note != "" {
				fmt.Fprintf(table, "  unit %d\t%s\t%s\t%s\t%s\n", u.Index, u.State, age(u.Since), u.Machine, note)
			}
		}
	}
	return table.Flush()
}

func videoNote(v share.VideoStatus) string {
	if v.Error != "" {
		return oneLine(v.Error)
	}
	if len(v.Units) == 0 {
		return ""
	}
	done := 0
	for _, u := range v.Units {
		if u.State == share.UnitDone {
			done++
		}
	}
	return fmt.Sprintf("%d of %s done", done, plural(len(v.Units), "unit"))
}

func unitNote(u share.UnitStatus) string {
	var notes []string
	if u.State == share.UnitClaimed && u.Sealed > 0 {
		notes = append(notes, plural(u.Sealed, "segment")+" done")
	}
	if len(u.Lost) > 0 && u.State != share.UnitDone {
		notes = append(notes, "taken over from "+strings.Join(u.Lost, ", "))
	}
	if u.Error != "" && u.State != share.UnitDone {
		notes = append(notes, oneLine(u.Error))
	}
	return strings.Join(notes, "; ")
}

// oneLine makes text from files or other machines safe to print as part of a line on a terminal.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, strings.ReplaceAll(text, "\n", "; "))
}

// counts describes the number of videos in each state.
func counts(all map[share.VideoState]int) string {
	var parts []string
	for _, state := range []share.VideoState{
		share.VideoFound, share.VideoPlanned, share.VideoJoining, share.VideoPublishing, share.VideoDone,
		share.VideoFailed, share.VideoGone,
	} {
		if n := all[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(parts) == 0 {
		return "no videos"
	}
	return "videos: " + strings.Join(parts, ", ")
}

// age returns the time since t. It compares this machine's clock with another machine's, which may differ.
func age(t time.Time) string {
	if t.IsZero() {
		return "?"
	}
	return seconds(max(0, time.Since(t).Seconds()))
}

func seconds(n float64) string {
	return time.Duration(n * float64(time.Second)).Round(time.Second).String()
}
