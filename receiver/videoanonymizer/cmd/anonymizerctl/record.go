// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/privacy"
)

// recordFormats are the functions that print records of processing, by format.
var recordFormats = map[string]func(io.Writer, *privacy.Records) error{
	"csv": recordCSV, "json": recordJSON, "html": recordHTML,
}

func newRecordCommand() *cobra.Command {
	var where placesFlags
	var format, since string
	command := &cobra.Command{
		Use:   "record",
		Short: "List what was done to which video, for a data protection officer",
		Long: `Lists each video that was anonymized or failed: its source and output with their SHA-256, when and by which
program, models and settings it was processed, who reviewed it, and whether it was approved. It reads the journal, the
reports and the audit, and can run while the collector does. For a video whose report was removed, only names, time and
decision are known. Erased videos are only counted.

It exits with 1 if the audit has been changed; then it lists no decisions.`,
		Example: "  anonymizerctl record --config config.yaml --format html --since 2026-01-01 > record.html",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			print, ok := recordFormats[format]
			if !ok {
				return fmt.Errorf("--format: %q is not known: use csv, json or html", format)
			}
			var from time.Time
			if since != "" {
				var err error
				if from, err = time.ParseInLocation(time.DateOnly, since, time.Local); err != nil {
					return fmt.Errorf("--since: %q is not a date: write one such as 2026-01-31", since)
				}
			}
			places, err := where.places(command.Context())
			if err != nil {
				return err
			}
			records, err := privacy.ReadRecords(places, from)
			if err != nil {
				return err
			}
			if err := print(command.OutOrStdout(), records); err != nil {
				return err
			}
			if records.AuditProblem != "" {
				fmt.Fprintln(command.ErrOrStderr(), "BAD:", records.AuditProblem)
				return errFound
			}
			return nil
		},
	}
	where.add(command)
	flags := command.Flags()
	flags.StringVar(&format, "format", "csv", "csv, json or html")
	flags.StringVar(&since, "since", "", "the first `day`, such as 2026-01-31")
	return command
}

func recordJSON(w io.Writer, r *privacy.Records) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// recordColumns are the columns of the CSV and HTML formats.
var recordColumns = []struct {
	name  string
	value func(*privacy.Record) string
}{
	{"processed", func(r *privacy.Record) string { return timeText(r.Processed) }},
	{"source", func(r *privacy.Record) string { return r.Source }},
	{"source_sha256", func(r *privacy.Record) string { return r.SourceSHA256 }},
	{"outcome", func(r *privacy.Record) string { return r.Outcome }},
	{"reason", func(r *privacy.Record) string { return r.Reason }},
	{"output", func(r *privacy.Record) string { return r.Output }},
	{"output_sha256", func(r *privacy.Record) string { return r.OutputSHA256 }},
	{"duration_s", func(r *privacy.Record) string { return numberText(r.Duration) }},
	{"frames", func(r *privacy.Record) string { return numberText(float64(r.Frames)) }},
	{"people_max", func(r *privacy.Record) string { return numberText(float64(r.PeopleMax)) }},
	{"nobody_found", func(r *privacy.Record) string { return map[bool]string{true: "yes"}[r.NobodyFound] }},
	{"program", func(r *privacy.Record) string { return r.Program }},
	{"models", func(r *privacy.Record) string { return strings.Join(r.Models, "; ") }},
	{"recall", func(r *privacy.Record) string { return r.Recall }},
	{"mask", func(r *privacy.Record) string { return r.Mask }},
	{"corrections", func(r *privacy.Record) string { return numberText(float64(r.Corrections)) }},
	{"review", func(r *privacy.Record) string { return r.Review }},
	{"reviewer", func(r *privacy.Record) string { return r.Reviewer }},
	{"reviewed", func(r *privacy.Record) string { return timeText(r.Reviewed) }},
	{"watched", func(r *privacy.Record) string { return numberText(r.Watched) }},
	{"note", func(r *privacy.Record) string { return r.Note }},
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// numberText formats a number, and returns an empty string for 0, which means not applicable.
func numberText(v float64) string {
	if v == 0 {
		return ""
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func recordCSV(w io.Writer, all *privacy.Records) error {
	table := csv.NewWriter(w)
	row := make([]string, len(recordColumns))
	for i, c := range recordColumns {
		row[i] = c.name
	}
	if err := table.Write(row); err != nil {
		return err
	}
	for i := range all.Videos {
		for j, c := range recordColumns {
			row[j] = plain(c.value(&all.Videos[i]))
		}
		if err := table.Write(row); err != nil {
			return err
		}
	}
	table.Flush()
	return table.Error()
}

// plain keeps spreadsheets from interpreting text, such as the name of a file, as a formula.
func plain(text string) string {
	if strings.IndexAny(text, "=+-@\t\r") == 0 {
		return "'" + text
	}
	return text
}

var recordPage = template.Must(template.New("record").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Record of anonymized videos</title>
<style>
@page { size: A4 landscape; margin: 1cm }
body { font: 9pt sans-serif }
table { border-collapse: collapse; width: 100% }
th, td { border: 1px solid #999; padding: 2px 4px; text-align: left; vertical-align: top; overflow-wrap: anywhere }
thead { display: table-header-group }
tr { break-inside: avoid }
</style>
<h1>Record of anonymized videos</h1>
<p>Made on {{.Made}}. {{len .Rows}} outcomes; data on videos was erased {{.Erased}} times.</p>
{{with .Problem}}<p><strong>The audit is not as it was written, so no decision is listed: {{.}}</strong></p>{{end}}
<table>
<thead><tr>{{range .Columns}}<th>{{.}}</th>{{end}}</tr></thead>
<tbody>
{{range .Rows}}<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>
{{end}}</tbody>
</table>
</html>
`))

func recordHTML(w io.Writer, all *privacy.Records) error {
	page := struct {
		Made, Problem string
		Erased        int
		Columns       []string
		Rows          [][]string
	}{Made: timeText(all.Created), Problem: all.AuditProblem, Erased: all.Erased}
	for _, c := range recordColumns {
		page.Columns = append(page.Columns, strings.ReplaceAll(c.name, "_", " "))
	}
	for i := range all.Videos {
		var row []string
		for _, c := range recordColumns {
			row = append(row, c.value(&all.Videos[i]))
		}
		page.Rows = append(page.Rows, row)
	}
	return recordPage.Execute(w, page)
}
