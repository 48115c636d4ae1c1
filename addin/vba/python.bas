' The way to Python: xlwings' DLL starts the server and returns its object. Everything is Private, because a cell can call
' any public procedure of an add-in.
Private Const SERVED_CLASS As String = "{served class}"
Private Const RETRY_AFTER_S As Long = 60
Private Const UNREACHABLE As Long = 1000

#If Win64 Then
    Private Const DLL_NAME As String = "xlwings64-{version}.dll"
    Private Declare PtrSafe Function ActivateServer Lib "xlwings64-{version}.dll" Alias "XLPyDLLActivateAuto" (ByRef server As Variant, ByVal target As String, ByVal mode As Long) As Long
    Private Declare PtrSafe Function LoadLibrary Lib "kernel32" Alias "LoadLibraryA" (ByVal path As String) As LongPtr
#Else
    Private Const DLL_NAME As String = "xlwings32-{version}.dll"
    Private Declare PtrSafe Function ActivateServer Lib "xlwings32-{version}.dll" Alias "XLPyDLLActivateAuto" (ByRef server As Variant, ByVal target As String, ByVal mode As Long) As Long
    Private Declare PtrSafe Function LoadLibrary Lib "kernel32" Alias "LoadLibraryA" (ByVal path As String) As LongPtr
#End If

' What the DLL is asked for: SERVED_CLASS, or the command that starts Python. Empty until the first call, and after a failure.
Private mTarget As String
Private mFailure As String
Private mFailedAt As Date

Private mLastError As String

' Returns the server's object. A failure is remembered for a minute, because each attempt takes as long as Python's start.
Private Function XLPy() As Object
    Dim server As Variant
    If Len(mFailure) > 0 Then
        If Abs(DateDiff("s", mFailedAt, Now)) < RETRY_AFTER_S Then Err.Raise UNREACHABLE, Description:=mFailure
    End If
    On Error GoTo failed
    If Len(mTarget) = 0 Then mTarget = FoundTarget()
    If ActivateServer(server, mTarget, 1) <> 0 Then Err.Raise UNREACHABLE, Description:=CStr(server)
    Set XLPy = server
    mFailure = ""
    Exit Function
failed:
    mFailure = Err.Description
    mFailedAt = Now
    mTarget = ""
    Err.Raise UNREACHABLE, Description:=mFailure
End Function

' Prefers a server that runs already (vram addin serve), for computers on which Excel may not start programs.
Private Function FoundTarget() As String
    Dim interpreter As String, unused As Variant
    #If Mac Then
        Err.Raise UNREACHABLE, Description:="Excel on a Mac cannot call Python with macros. Use xlwings Lite."
    #End If
    interpreter = Replace(InterpreterSetting(), "%USERPROFILE%", Environ("USERPROFILE"))
    If Not (interpreter Like "[A-Za-z]:\*" Or interpreter Like "\\*") Then
        Err.Raise UNREACHABLE, Description:="No full path of Python is set. Run: vram addin install"
    End If
    LoadDll ParentFolder(interpreter)
    If ActivateServer(unused, SERVED_CLASS, 1) = 0 Then
        FoundTarget = SERVED_CLASS
    Else
        FoundTarget = {command}
    End If
End Function

' In a virtual environment the DLL is in the parent of the interpreter's folder.
Private Sub LoadDll(ByVal folder As String)
    If LoadLibrary(folder & "\" & DLL_NAME) <> 0 Then Exit Sub
    If LoadLibrary(ParentFolder(folder) & "\" & DLL_NAME) <> 0 Then Exit Sub
    Err.Raise UNREACHABLE, Description:="Could not load " & DLL_NAME & " from " & folder & " or the folder above it. Run: vram doctor"
End Sub

Private Function ParentFolder(ByVal path As String) As String
    ParentFolder = Left$(path, InStrRev(path, "\") - 1)
End Function

' Reads the user's file alone: a file or sheet next to a workbook must not choose the program that runs.
Private Function InterpreterSetting() As String
    Const START As String = """{interpreter}"","""
    Dim file As Integer, text As String
    file = FreeFile
    On Error GoTo missing
    Open Environ("USERPROFILE") & "\{settings file}" For Input As #file
    On Error GoTo 0
    Do While Not EOF(file)
        Line Input #file, text
        If UCase$(Left$(text, Len(START))) = START Then InterpreterSetting = Mid$(text, Len(START) + 1, Len(text) - Len(START) - 1)
    Loop
    Close #file
missing:
End Function

