// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Anonymizerctl is the companion program of the collector for people who work with anonymized videos:
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
// It exits with 0 on success, with 1 if a command found something that should not be, and with 2 if it could not do its
// work. "anonymizerctl help COMMAND" says more.
//
// Called by the name otelcol-anonymizer-compare, which a link may give it, it is the command compare alone, and takes
// its flags with one dash too (deprecated).
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

// errFound is returned by a command that has reported something that should not be.
var errFound = errors.New("something found")

// legacyCompare is the name of the program that only compared.
const legacyCompare = "otelcol-anonymizer-compare"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	status := run(ctx, os.Args, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run executes a command line, which begins with the program's name, and returns the exit status.
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
	valid := false // the command line
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

// doubleDashes turns the command's flags, as far as they begin with one dash, into those with two.
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
