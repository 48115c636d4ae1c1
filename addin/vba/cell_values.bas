' Converts texts of Excel errors in a function's result, a single value or an array, to errors. An answer of Python ends
' what VRAM_LAST_ERROR shows.
Private Function CellValue(ByVal result As Variant) As Variant
    Dim i As Long, j As Long
    Select Case Dimensions(result)
        Case 0
            result = ExcelError(result)
        Case 1
            For i = LBound(result) To UBound(result)
                result(i) = ExcelError(result(i))
            Next i
        Case 2
            For i = LBound(result, 1) To UBound(result, 1)
                For j = LBound(result, 2) To UBound(result, 2)
                    result(i, j) = ExcelError(result(i, j))
                Next j
            Next i
    End Select
    CellValue = result
    mLastError = ""
End Function

Private Function ExcelError(ByVal value As Variant) As Variant
    ExcelError = value
    If VarType(value) <> vbString Then Exit Function
    Select Case value
        Case "#NULL!": ExcelError = CVErr(xlErrNull)
        Case "#DIV/0!": ExcelError = CVErr(xlErrDiv0)
        Case "#VALUE!": ExcelError = CVErr(xlErrValue)
        Case "#REF!": ExcelError = CVErr(xlErrRef)
        Case "#NAME?": ExcelError = CVErr(xlErrName)
        Case "#NUM!": ExcelError = CVErr(xlErrNum)
        Case "#N/A": ExcelError = CVErr(xlErrNA)
        ' Newer errors, passed through from an argument. Excel 2016 has no names for their numbers.
        Case "#GETTING_DATA": ExcelError = CVErr(2043)
        Case "#SPILL!": ExcelError = CVErr(2045)
        Case "#CONNECT!": ExcelError = CVErr(2046)
        Case "#BLOCKED!": ExcelError = CVErr(2047)
        Case "#UNKNOWN!": ExcelError = CVErr(2048)
        Case "#FIELD!": ExcelError = CVErr(2049)
        Case "#CALC!": ExcelError = CVErr(2050)
        Case "#BUSY!", "#PYTHON!", "#EXTERNAL!": ExcelError = CVErr(xlErrValue)
    End Select
End Function

' Counts the dimensions until UBound fails, because VBA has no function for it.
Private Function Dimensions(ByRef value As Variant) As Long
    Dim bound As Long, found As Long
    If Not IsArray(value) Then Exit Function
    On Error Resume Next
    Do
        bound = UBound(value, found + 1)
        If Err.Number <> 0 Then Exit Do
        found = found + 1
    Loop
    Err.Clear
    Dimensions = found
End Function

' Called if Python raises an exception or cannot be reached.
Private Function ErrorCell(ByVal message As String) As Variant
    mLastError = message
    ErrorCell = CVErr(xlErrValue)
End Function

Function VRAM_LAST_ERROR() As Variant
    Application.Volatile
    VRAM_LAST_ERROR = mLastError
End Function
