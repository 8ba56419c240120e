// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Anonymizerctl is the collector's companion program for people who work with anonymized videos:
//
//	anonymizerctl run IN... -o OUT
//	anonymizerctl compare SOURCE OUTPUT
//	anonymizerctl edits apply OUTPUT EDITS --source SOURCE
//	anonymizerctl token create NAME --role review
//	anonymizerctl verify DIR
//	anonymizerctl erase NAME --config FILE --yes
//	anonymizerctl record --config FILE --format html
//	anonymizerctl share status --config FILE
//
// It exits with 0 on success, with 1 if a command found a problem, and with 2 if a command failed. Run "anonymizerctl
// help COMMAND" for details.
//
// If called as otelcol-anonymizer-compare, for example through a link, it is the compare command only, and also accepts
// that command's flags with a single dash (deprecated).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// version is set by the linker.
var version = "dev"

// Exit statuses.
const (
	exitFound = 1
	exitError = 2
)

// errFound is returned by a command that found and reported a problem.
var errFound = errors.New("something found")

// legacyCompare is the former name of the program, when it could only compare.
const legacyCompare = "otelcol-anonymizer-compare"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	status := run(ctx, os.Args, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run executes a command line, including the program name, and returns the exit status.
func run(ctx context.Context, commandLine []string, stdout, stderr io.Writer) int {
	name, args := filepath.Base(commandLine[0]), commandLine[1:]
	command := newCommand()
	if name == legacyCompare {
		command = newCompareCommand()
		command.Use = strings.Replace(command.Use, command.Name(), legacyCompare, 1)
		args = doubleDashes(command, args)
	}
	command.SetArgs(args)
	command.SetOut(stdout)
	command.SetErr(stderr)
	command.SilenceErrors, command.SilenceUsage = true, true
	valid := false // whether the command line is valid
	command.PersistentPreRun = func(*cobra.Command, []string) { valid = true }
	executed, err := command.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFound):
		return exitFound
	}
	fmt.Fprintf(stderr, "%s: %v\n", command.Name(), err)
	if !valid {
		fmt.Fprint(stderr, executed.UsageString())
	}
	return exitError
}

func newCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "anonymizerctl",
		Short: "Work with anonymized videos",

		Version: version,
	}
	command.AddCommand(newRunCommand(), newCompareCommand(), newDoctorCommand(), newEditsCommand(), newEraseCommand(),
		newManCommand(), newRecordCommand(), newShareCommand(), newTokenCommand(), newVerifyCommand())
	return command
}

// doubleDashes converts the command's flags from a single dash to two dashes.
func doubleDashes(command *cobra.Command, args []string) []string {
	var doubled []string
	for i, arg := range args {
		if arg == "--" {
			return append(doubled, args[i:]...)
		}
		if name, ok := strings.CutPrefix(arg, "-"); ok {
			name, _, _ = strings.Cut(name, "=")
			if name == "help" || command.Flags().Lookup(name) != nil {
				arg = "-" + arg
			}
		}
		doubled = append(doubled, arg)
	}
	return doubled
}
